const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });

window.saw = new Promise((resolve, reject) => {
  worker.onmessage = ({ data }) => (data.error ? reject(new Error(data.error)) : resolve(data.saw));
  worker.onerror = (event) => reject(new Error(event.message));
});
worker.postMessage(JSON.parse(decodeURIComponent(location.hash.slice(1))));
