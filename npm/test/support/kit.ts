/** The testkit as tests use it: proxies that make faults, servers of one's own, mail, the OAuth2 provider. */
import { inject } from "vitest";

/** The line that the testkit prints when it is ready. */
export interface Testkit {
  url: string;
  direct_url: string;
  control: string;
  superuser: { email: string; password: string };
  password: string;
  users: string[];
  oauth: { provider: string; authorize_url: string };
  tls_ca: string;
}

export const kit: Testkit = inject("testkit");

/** The password of all accounts. */
export const password = kit.password;

/** What a proxy has seen of one request. */
export interface Logged {
  n: number;
  method: string;
  path: string;
  query: string;
  status: number | null;
  headers: Record<string, string>;
  body: string;
  body_bytes: number;
  connection: number;
  started_ms: number;
  ended_ms: number | null;
  fault: number | null;
  forwarded: boolean;
}

export interface Rule {
  method?: string;
  path?: string;
  path_prefix?: string;
  path_contains?: string;
  query_contains?: string;
  times?: number;
  skip?: number;
  for_ms?: number;
  from?: "first_hit";
  action: { type: string; [option: string]: unknown };
}

/** Taken before a test can put a clock of its own in the place of the real one. */
const realFetch = globalThis.fetch;

/** A call of the control port. */
export async function control(method: string, path: string, body?: unknown): Promise<any> {
  const init: RequestInit = { method };
  if (body !== undefined) Object.assign(init, { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
  const answer = await realFetch(kit.control + path, init);
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return text && JSON.parse(text);
}

const cors = { "Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "*" };

function readable(rule: Rule): Rule {
  if (!rule.action.type.startsWith("respond")) return rule;
  return { ...rule, action: { ...rule.action, headers: { ...cors, ...(rule.action.headers as object) } } };
}

export class Proxy {
  constructor(
    readonly id: string,
    readonly url: string,
  ) {}

  /** Replaces the rules. Pages may read the answers that they make up. */
  faults(...rules: Rule[]): Promise<void> {
    return control("PUT", `/proxies/${this.id}/faults`, rules.map(readable));
  }

  /** What came, without the preflights of browsers. */
  async requests(path = ""): Promise<Logged[]> {
    const all: Logged[] = await control("GET", `/proxies/${this.id}/requests`);
    return all.filter((request) => request.method !== "OPTIONS" && request.path.includes(path));
  }

  forget(): Promise<void> {
    return control("DELETE", `/proxies/${this.id}/requests`);
  }

  stats(): Promise<{ connections_open: number; connections_total: number; in_flight: number; max_in_flight: number }> {
    return control("GET", `/proxies/${this.id}/stats`);
  }

  cut(how: "close" | "reset" | "stall", path?: string): Promise<{ connections: number }> {
    return control("POST", `/proxies/${this.id}/cut`, { how, path_contains: path });
  }

  close(): Promise<void> {
    return control("DELETE", `/proxies/${this.id}`);
  }
}

/** A server of a test's own and the proxy before it. */
export class Server {
  constructor(
    readonly id: string,
    readonly directUrl: string,
    readonly proxy: Proxy,
  ) {}

  get url(): string {
    return this.proxy.url;
  }

  kill(): Promise<void> {
    return control("POST", `/servers/${this.id}/kill`);
  }

  start(): Promise<void> {
    return control("POST", `/servers/${this.id}/start`);
  }

  restart(downtime: number): Promise<void> {
    return control("POST", `/servers/${this.id}/restart`, { downtime_ms: downtime, kill: true });
  }

  seed(collection: string, count: number, record?: unknown): Promise<void> {
    return control("POST", `/servers/${this.id}/seed`, { collection, count, record });
  }

  /** Any call as superuser, past the proxy. Fails where the server refuses. */
  async admin(method: string, path: string, body?: unknown): Promise<any> {
    const answer = await control("POST", `/servers/${this.id}/admin`, { method, path, body });
    if (answer.status >= 400) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  close(): Promise<void> {
    return control("DELETE", `/servers/${this.id}`);
  }
}

export async function openProxy(options: { server_id?: string; tls?: boolean } = {}): Promise<Proxy> {
  const { proxy_id, url } = await control("POST", "/proxies", options);
  return new Proxy(proxy_id, url);
}

export async function openServer(options: object = {}): Promise<Server> {
  const { server_id, direct_url, proxy_id, url } = await control("POST", "/servers", options);
  return new Server(server_id, direct_url, new Proxy(proxy_id, url));
}

/** The newest mail to that address; waits for it. */
export function mail(to: string, subject = ""): Promise<{ text: string; html: string; token: string; otp: string }> {
  return control("GET", `/mail?${new URLSearchParams({ to, subject_contains: subject, wait_ms: "40000" })}`);
}

/** A superuser's token that every server takes. */
export async function superuserToken(): Promise<string> {
  return (await control("GET", "/superuser-token")).token;
}
