// The list of all videos. An address such as #length=over+2+s&code=OBJ-DIS selects the videos that it describes.
const { folder, strata, rows } = JSON.parse(document.getElementById("cases").textContent);
const [list, statusLine, more] = ["list", "status", "more"].map(id => document.getElementById(id));
const PAGE_SIZE = 24;
let selected = rows, shown = 0;
function matches([id, , , , success, codes, levels], query) {
  const fixed = { code: value => codes.includes(value), case: value => id === value, success: value => String(success) === value };
  return query.every(([name, value]) => name in fixed ? fixed[name](value) : levels[strata.indexOf(name)] === value);
}
function figure([, index, file, prompt, success, codes]) {
  const whole = document.createElement("figure");
  const media = document.createElement(!file ? "p" : file.endsWith(".png") ? "img" : "video");
  if (!file) Object.assign(media, { className: "no", textContent: "no video" });
  else media.src = folder + "/" + encodeURIComponent(file);
  if (media.tagName === "VIDEO") Object.assign(media, { autoplay: true, loop: true, muted: true, playsInline: true });
  else if (file) media.loading = "lazy";
  const caption = document.createElement("figcaption"), verdict = document.createElement("span");
  verdict.className = success ? "ok" : "no";
  verdict.textContent = codes.join(", ") || "all checks hold";
  caption.append(index + ": " + prompt, document.createElement("br"), verdict);
  whole.append(media, caption);
  return whole;
}
function showMore() {
  list.append(...selected.slice(shown, shown + PAGE_SIZE).map(figure));
  shown = Math.min(shown + PAGE_SIZE, selected.length);
  more.hidden = shown >= selected.length;
}
function show() {
  const address = location.hash.slice(1), query = [...new URLSearchParams(address.includes("=") ? address : "")];
  selected = rows.filter(row => matches(row, query));
  shown = 0;
  list.replaceChildren();
  statusLine.textContent = selected.length + " videos" + (query.length ? " with " + query.map(pair => pair.join(": ")).join(", ") : "");
  showMore();
  if (query.length) document.getElementById("all").scrollIntoView();
}
more.onclick = showMore;
addEventListener("hashchange", show);
show();
