/** Is realtime a module of its own? Decided when the package is built. */
declare const SPLIT: boolean;

declare module "*.wasm?module" {
  const module: WebAssembly.Module;
  export default module;
}

declare module "*.wasm?base64" {
  const text: string;
  export default text;
}
