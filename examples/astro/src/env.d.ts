declare namespace App {
  interface Locals {
    /** The client of this request, with the session of its visitor. */
    client: import("@picobase/client").Client<import("./picobase").Schema>;
  }
}
