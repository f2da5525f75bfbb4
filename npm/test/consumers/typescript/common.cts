import picobase = require("@picobase/client");

export const client: picobase.Client = picobase.createClient("http://127.0.0.1:8090");
