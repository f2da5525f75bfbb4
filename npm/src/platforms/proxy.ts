/** The proxy variables, for Node: its own support for them is younger than the oldest version that we run on. */
import http from "node:http";
import https from "node:https";
import net from "node:net";
import type { Duplex } from "node:stream";

type Variables = Record<string, string | undefined>;

/**
 * The proxy for a URL, by HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY; null where there is none. The names in lower
 * case come first; HTTP_PROXY in capitals is nothing in a CGI, where it would be a header of the visitor's.
 *
 * @throws a TypeError where the value is no http(s) URL.
 */
export function proxyFor(url: URL, env: Variables = process.env): URL | null {
  const of = (name: string) => env[name] || (name == "http_proxy" && env.REQUEST_METHOD ? "" : env[name.toUpperCase()]);
  const value = of(url.protocol == "https:" ? "https_proxy" : "http_proxy") || of("all_proxy");
  if (!value || excepted(url, of("no_proxy") ?? "")) return null;
  const proxy = new URL(value.includes("://") ? value : `http://${value}`);
  if (!/^https?:$/.test(proxy.protocol)) throw new TypeError("the proxy variables must name an http:// or https:// URL");
  return proxy;
}

/** Does NO_PROXY name the host: `*`, a host with its subdomains, an address, a subnet (10.0.0.0/8), each with or without a port? */
function excepted({ hostname, port, protocol }: URL, list: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, "");
  const own = port || (protocol == "https:" ? "443" : "80");
  return list.split(/[\s,]+/).some((entry) => {
    const [, name = "", only] = /^\[?(.*?)\]?(?::(\d+))?$/.exec(net.isIPv6(entry) ? `[${entry}]` : entry.toLowerCase())!;
    if (!name || (only && only != own)) return false;
    const domain = name.replace(/^\*?\./, "");
    return name == "*" || host == domain || host.endsWith(`.${domain}`) || within(host, name);
  });
}

function within(host: string, subnet: string): boolean {
  const [start = "", bits] = subnet.split("/");
  const family = net.isIP(host);
  if (!bits || !family || net.isIP(start) != family) return false;
  const block = new net.BlockList();
  const type = family == 4 ? "ipv4" : "ipv6";
  block.addSubnet(start, Math.min(+bits, family == 4 ? 32 : 128), type);
  return block.check(host, type);
}

/** The header that a proxy with a user and a password wants. */
export const proxyHeaders = ({ username, password }: URL): string[] =>
  username
    ? ["Proxy-Authorization", `Basic ${Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString("base64")}`]
    : [];

/** Where a proxy listens, as http.request takes it. */
export const proxyAddress = ({ protocol, hostname, port }: URL) => ({
  host: hostname.replace(/^\[|\]$/g, ""),
  port: +port || (protocol == "https:" ? 443 : 80),
});

/** Connections to https servers through a tunnel that the proxy opens (CONNECT, RFC 9110 §9.3.6). */
export class TunnelAgent extends https.Agent {
  constructor(
    readonly proxy: URL,
    options: https.AgentOptions,
  ) {
    super(options);
  }

  // Newer versions of Node take the answer from the callback where none is returned.
  override createConnection(options: any, callback: any): any {
    const target = `${net.isIPv6(options.host) ? `[${options.host}]` : options.host}:${options.port}`;
    const { request } = this.proxy.protocol == "https:" ? https : http;
    const headers = ["Host", target, ...proxyHeaders(this.proxy)];
    request({ ...proxyAddress(this.proxy), method: "CONNECT", path: target, headers, agent: false })
      .on("error", callback)
      .on("connect", ({ statusCode }, socket: Duplex) => {
        if (statusCode == 200) return callback(null, super.createConnection({ ...options, socket }, () => {}));
        socket.destroy();
        callback(new Error(`the proxy answered ${statusCode} to CONNECT`));
      })
      .end();
  }
}
