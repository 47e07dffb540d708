// The list of all videos: an address such as #length=over+2+s&code=OBJ-DIS shows those it asks for.
const { folder, strata, rows } = JSON.parse(document.getElementById("cases").textContent);
const list = document.getElementById("list"), told = document.getElementById("told"), more = document.getElementById("more");
let found = rows, shown = 0;
function fits(row, wanted) {
  return [...wanted].every(([name, value]) =>
    name === "code" ? row[5].includes(value) : name === "case" ? row[0] === value : name === "success" ? String(row[4]) === value
      : row[6][strata.indexOf(name)] === value);
}
function figure([name, index, file, prompt, success, codes]) {
  const whole = document.createElement("figure"), media = document.createElement(file.endsWith(".png") ? "img" : "video");
  media.src = folder + "/" + encodeURIComponent(file);
  if (media.tagName === "VIDEO") Object.assign(media, { autoplay: true, loop: true, muted: true, playsInline: true });
  else media.loading = "lazy";
  const caption = document.createElement("figcaption"), verdict = document.createElement("span");
  verdict.className = success ? "ok" : "no";
  verdict.textContent = codes.join(", ") || "all right";
  caption.append(index + ": " + prompt, document.createElement("br"), verdict);
  whole.append(media, caption);
  return whole;
}
function add() {
  list.append(...found.slice(shown, shown + 24).map(figure));
  shown = Math.min(shown + 24, found.length);
  more.hidden = shown >= found.length;
}
function show() {
  const asked = location.hash.slice(1), wanted = new URLSearchParams(asked.includes("=") ? asked : "");
  found = rows.filter(row => fits(row, wanted));
  shown = 0;
  list.replaceChildren();
  told.textContent = found.length + " videos" + ([...wanted].length ? " with " + [...wanted].map(pair => pair.join(": ")).join(", ") : "");
  add();
  if ([...wanted].length) document.getElementById("all").scrollIntoView();
}
more.onclick = add;
addEventListener("hashchange", show);
show();
