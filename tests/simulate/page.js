// Run the script of the play page on a document of stubs; read steps from stdin, and print what the page shows.
// A step is {"message": {...}} of the server, {"key": "KeyA"} pressed, {"up": "KeyA"} or {"click": "id"}.
"use strict";
const fs = require("fs"), html = fs.readFileSync(process.argv[2], "utf8"), steps = JSON.parse(fs.readFileSync(0, "utf8"));

class Element {
  constructor(tag, hidden) {
    Object.assign(this, { tagName: tag.toUpperCase(), hidden, children: [], text: "", value: "", files: [] });
    this.classList = { add() {}, remove() {}, toggle() {} };
  }
  append(...more) { this.children.push(...more); }
  replaceChildren(...more) { this.children = more; }
  querySelector() { return this.inner ??= new Element("h2", false); }
  setAttribute() {}
  getContext() { return { drawImage() {} }; }
  get textContent() { return this.text + this.children.map((child) => child.textContent ?? child).join(""); }
  set textContent(text) { this.text = text; this.children = []; }
}

const known = new Map(), listeners = {}, sent = [];
for (const [tag, name, id] of html.matchAll(/<(\w+)[^>]*\bid="(\w+)"[^>]*>/g)) known.set(id, new Element(name, /\shidden\b/.test(tag)));
globalThis.document = {
  hidden: false, activeElement: new Element("body", false), addEventListener() {},
  createElement: (tag) => new Element(tag, false),
  getElementById: (id) => { if (!known.has(id)) throw Error(`the page has no element ${id}`); return known.get(id); },
};
globalThis.location = { origin: "http://127.0.0.1" };
globalThis.addEventListener = (name, listener) => (listeners[name] = listener);
globalThis.WebSocket = class { constructor() { globalThis.socketOfPage = this; this.readyState = 1; } send(text) { sent.push(JSON.parse(text)); } };
(0, eval)(html.split("<script>")[1].split("</script>")[0]);

const socket = globalThis.socketOfPage, pressed = (code) => ({ code, target: new Element("body", false), preventDefault() {}, repeat: false });
(async () => {
  for (const step of steps) {
    if (step.message) socket.onmessage({ data: JSON.stringify(step.message) });
    if (step.key) listeners.keydown(pressed(step.key));
    if (step.up) listeners.keyup(pressed(step.up));
    if (step.click) known.get(step.click).onclick();
    await new Promise((go) => setTimeout(go, 5));
  }
  if (process.argv[3] === "close") socket.onclose({ reason: "" });
  const told = (id) => known.get(id).textContent;
  const [rows, visible] = [known.get("actions").children.map((row) => row.textContent), [...known].filter(([, one]) => !one.hidden).map(([id]) => id)];
  console.log(JSON.stringify({ rows, visible, sent, state: told("state"), verdict: told("verdict"), held: told("held"), message: told("message") }));
  process.exit(0);
})();
