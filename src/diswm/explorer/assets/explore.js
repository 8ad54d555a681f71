// The page's own script: encode a frame, move the code, draw it. All in this tab, with the networks that the page holds.
const SIDE = 64;
const LIMIT = 4; // standard deviations at a slider's end
const SWEEP = 3; // standard deviations of a sweep, as `diswm traverse` shows
const PERIOD = 4000; // milliseconds to and fro
const find = (selector, root = document) => root.querySelector(selector);
const make = (id) => find(`#${id}`).content.firstElementChild.cloneNode(true);
const status = find("#status");
const panels = [];
let ort = null;
let failed = false;
let said = 0;

function say(text, bad = false, time = 2500) {
  if (failed) return;
  failed = bad;
  status.textContent = text;
  status.classList.toggle("failed", bad);
  clearTimeout(said);
  if (!bad) said = setTimeout(() => { status.textContent = ""; }, time);
}

function fail(error) {
  say(`The page cannot go on: ${error?.message ?? error}. It needs a browser with WebAssembly SIMD, such as those since 2023.`, true);
  for (const button of document.querySelectorAll("button, input")) button.disabled = true;
}

async function unpack(text) {
  const coded = atob(text);
  const bytes = new Uint8Array(coded.length);
  for (let i = 0; i < coded.length; i++) bytes[i] = coded.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function start() {
  const script = new Blob([await unpack(find("#ort").textContent)], { type: "text/javascript" });
  const url = URL.createObjectURL(script);
  ort = await import(url);
  URL.revokeObjectURL(url);
  ort.env.wasm.numThreads = 1; // more would need headers that only a server can send
  ort.env.wasm.wasmBinary = await unpack(find("#wasm").textContent);
}

// ---- one run

class Panel {
  constructor(run, element) {
    this.run = run;
    this.element = element;
    this.code = Float32Array.from(run.dims, (dim) => dim.mean);
    this.home = this.code.slice();
    this.sliders = [];
    this.sweeping = new Map(); // dimension -> when its sweep began
    this.dirty = true;
    this.times = []; // milliseconds of the pictures since they were last told of
    [this.real, this.drawn] = [".real", ".drawn"].map((name) => find(name, element).getContext("2d", { willReadFrequently: true }));
    find(".name", element).textContent = run.name;
    const also = run.missing ? ` No factors are named, as ${run.missing}.` : "";
    find(".about", element).textContent = `${run.dims.length} numbers, those that tell most of a frame first. Measured over ${run.source}.${also}`;
    this.fill(find(".dims", element));
    this.wire();
  }

  async load() {
    const options = { executionProviders: ["wasm"] };
    this.encoder = await ort.InferenceSession.create(await unpack(this.run.encoder), options);
    this.picture = await ort.InferenceSession.create(await unpack(this.run.picture), options);
    await this.decode(this.code); // the first time takes long
  }

  fill(list) {
    const order = this.run.dims.map((_, index) => index).sort((a, b) => this.run.dims[b].kl - this.run.dims[a].kl);
    const quiet = order.filter((index) => this.run.dims[index].quiet);
    for (const index of order.filter((each) => !this.run.dims[each].quiet)) list.append(this.row(index));
    if (!quiet.length) return;
    const more = document.createElement("details");
    more.append(document.createElement("summary"), ...quiet.map((index) => this.row(index)));
    more.firstChild.textContent = quiet.length === 1 ? "1 dimension carries next to nothing" : `${quiet.length} dimensions carry next to nothing`;
    list.append(more);
  }

  row(index) {
    const dim = this.run.dims[index];
    const element = make("dim");
    const [label, slider, play] = [find("label", element), find("input", element), find("button", element)];
    slider.id = `run${panels.length}-dim${index}`;
    label.htmlFor = slider.id;
    label.append(Object.assign(document.createElement("span"), { textContent: "dim " }), `${index}`, document.createElement("small"));
    label.lastChild.textContent = `${dim.kl.toFixed(dim.kl < 0.1 ? 2 : 1)} nats`;
    label.lastChild.title = "Information about the frame: the divergence of the code from its prior";
    play.setAttribute("aria-label", `Sweep dimension ${index}`);
    slider.setAttribute("aria-label", `Dimension ${index}, standard deviations`);
    for (const [name, value] of dim.factors) {
      const chip = document.createElement("span");
      chip.className = value > 0 ? "up" : "down";
      chip.style.setProperty("--share", Math.abs(value));
      chip.append(name, document.createElement("b"));
      chip.lastChild.textContent = value.toFixed(2).replace("-", "−");
      chip.title = `correlation ${value.toFixed(2)}`;
      find(".carries", element).append(chip);
    }
    slider.addEventListener("input", () => { this.stop(index); this.move(index, Number(slider.value)); });
    play.addEventListener("click", () => (this.sweeping.has(index) ? this.stop(index) : this.sweep(index)));
    this.sliders[index] = { slider, play, output: find("output", element) };
    return element;
  }

  wire() {
    const on = (name, act) => find(name, this.element).addEventListener("click", act);
    on(".home", () => this.set(this.home));
    on(".mean", () => this.set(this.run.dims.map((dim) => dim.mean)));
    on(".random", () => this.set(this.run.dims.map((dim) => dim.mean + dim.spread * normal())));
    on(".copy", () => copy(`[${Array.from(this.code, (value) => Number(value.toPrecision(6))).join(", ")}]`));
  }

  // A dimension of this run, in standard deviations; the other run follows where they are linked.
  move(index, value, alone = false) {
    const dim = this.run.dims[index];
    if (!dim) return;
    this.code[index] = dim.mean + dim.spread * value;
    this.show(index);
    if (!alone && find("#linked")?.checked) for (const other of panels) if (other !== this) { other.stop(index); other.move(index, value, true); }
    this.dirty = true;
  }

  set(code) {
    this.stop();
    this.code = Float32Array.from(code);
    this.sliders.forEach((_, index) => this.show(index));
    this.dirty = true;
  }

  show(index) {
    const dim = this.run.dims[index];
    const value = (this.code[index] - dim.mean) / dim.spread;
    const { slider, output } = this.sliders[index];
    slider.value = value;
    const place = Math.min(Math.max((value + LIMIT) / (2 * LIMIT), 0), 1);
    slider.style.setProperty("--a", `${100 * Math.min(place, 0.5)}%`);
    slider.style.setProperty("--b", `${100 * Math.max(place, 0.5)}%`);
    output.textContent = `${(Math.abs(value) < 0.005 ? 0 : value).toFixed(2).replace("-", "−")} σ`;
  }

  sweep(index) {
    const { slider, play } = this.sliders[index];
    const phase = Math.asin(Math.min(Math.max(Number(slider.value) / SWEEP, -1), 1)) / (2 * Math.PI);
    this.sweeping.set(index, performance.now() - phase * PERIOD);
    play.setAttribute("aria-pressed", "true");
  }

  stop(index) {
    for (const each of index === undefined ? [...this.sweeping.keys()] : [index]) {
      this.sweeping.delete(each);
      this.sliders[each]?.play.setAttribute("aria-pressed", "false");
    }
  }

  animate(now) {
    for (const [index, began] of this.sweeping) this.move(index, SWEEP * Math.sin((2 * Math.PI * (now - began)) / PERIOD));
  }

  // pixels: RGBA of a frame -> its code
  async encode(pixels) {
    const image = new Uint8Array(SIDE * SIDE * 3);
    for (let i = 0; i < SIDE * SIDE; i++) for (let c = 0; c < 3; c++) image[3 * i + c] = pixels[4 * i + c];
    const found = await this.encoder.run({ image: new ort.Tensor("uint8", image, [1, SIDE, SIDE, 3]) });
    return Float32Array.from(found.mean.data);
  }

  // code -> RGB of what the model draws
  async decode(code) {
    const found = await this.picture.run({ code: new ort.Tensor("float32", Float32Array.from(code), [1, code.length]) });
    return found.picture.data;
  }

  async begin(frame, caption) {
    find(".from", this.element).textContent = caption;
    this.real.putImageData(frame, 0, 0);
    this.home = await this.encode(frame.data);
    this.set(this.home);
  }

  async draw() {
    this.dirty = false;
    const before = performance.now();
    const rgb = await this.decode(this.code);
    const image = new ImageData(SIDE, SIDE);
    for (let i = 0; i < SIDE * SIDE; i++) {
      for (let c = 0; c < 3; c++) image.data[4 * i + c] = rgb[3 * i + c];
      image.data[4 * i + 3] = 255;
    }
    this.drawn.putImageData(image, 0, 0);
    this.count = (this.count ?? 0) + 1;
    if (this.count > 1) this.time(performance.now() - before); // the first takes longer
  }

  // Tell how long pictures take, the median of a quarter of a second: often enough, and slow enough to read.
  time(milliseconds) {
    this.times.push(milliseconds);
    const now = performance.now();
    if (now - (this.told ?? -Infinity) < 250) return;
    const sorted = this.times.sort((a, b) => a - b);
    find(".time", this.element).textContent = `${sorted[sorted.length >> 1].toFixed(1)} ms`;
    [this.told, this.times] = [now, []];
  }
}

function normal() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    say("The code is copied.");
  } catch { // a page that was opened as a file may not be allowed to
    const field = Object.assign(document.createElement("textarea"), { value: text });
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    if (done) say("The code is copied.");
    else say(text, false, 20000); // to be selected by hand
  }
}

// ---- frames

// The middle square of an image, as small as the networks take it; on white where one can see through it.
function square(image, width, height) {
  const canvas = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const side = Math.min(width, height);
  context.fillStyle = "#fff";
  context.fillRect(0, 0, SIDE, SIDE);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, (width - side) / 2, (height - side) / 2, side, side, 0, 0, SIDE, SIDE);
  return { canvas, frame: context.getImageData(0, 0, SIDE, SIDE) };
}

// The networks run one thing at a time.
let queue = Promise.resolve();
function later(work) {
  queue = queue.then(work).catch(fail);
  return queue;
}

// A frame with a caption, and where it comes from in full.
function choose(frame, caption, origin) {
  return later(async () => {
    find("#origin").textContent = `Shown: ${origin}.`;
    for (const panel of panels) await panel.begin(frame, caption);
  });
}

function thumbnail(picture, name, first = false) {
  const label = document.createElement("label");
  const radio = Object.assign(document.createElement("input"), { type: "radio", name: "frame", disabled: failed });
  radio.setAttribute("aria-label", name);
  label.title = name;
  label.append(radio, picture);
  find("#strip")[first ? "prepend" : "append"](label);
  return radio;
}

async function offer(run, index) {
  const image = Object.assign(new Image(), { src: run.frames[index], alt: "" });
  const [caption, origin] = [run.origins[index], `${run.origins[index]} of ${run.name}`];
  const radio = thumbnail(image, origin);
  if (index === 0 && run !== panels[0].run) radio.parentNode.className = "other"; // a gap between two runs' frames
  await image.decode();
  const act = () => choose(square(image, SIDE, SIDE).frame, caption, `${origin}, from ${run.source}`);
  radio.addEventListener("change", act);
  return { radio, act };
}

async function bring(file) {
  if (!file?.type.startsWith("image/")) return say(file ? `${file.name} is no image.` : "That is no image.");
  say(`Reading ${file.name} …`, false, 60000); // a large one takes seconds
  try {
    const bitmap = await createImageBitmap(file);
    const { width, height } = bitmap;
    const { canvas, frame } = square(bitmap, width, height);
    bitmap.close(); // a large one takes hundreds of megabytes
    const origin = `your image ${file.name}, ${width === height ? "" : "the middle square of its "}${width} × ${height} pixels`;
    const radio = thumbnail(canvas, `your image ${file.name}`, true);
    const act = () => choose(frame, file.name, origin);
    radio.addEventListener("change", act);
    radio.checked = true;
    find("#strip").scrollLeft = 0;
    await act();
    say("");
  } catch {
    say(`${file.name} cannot be read as an image.`);
  }
}

function wire() {
  find("#file").addEventListener("change", (event) => { bring(event.target.files[0]); event.target.value = ""; });
  const over = (on) => (event) => { event.preventDefault(); document.body.classList.toggle("dropping", on); };
  document.addEventListener("dragover", over(true));
  document.addEventListener("dragleave", over(false));
  document.addEventListener("drop", (event) => { over(false)(event); if (!failed) bring(event.dataTransfer.files[0]); });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") for (const panel of panels) panel.stop(); });
  if (panels.length < 2) return;
  const link = document.createElement("label");
  link.className = "link";
  link.innerHTML = '<input type="checkbox" id="linked" checked> Move both runs at once';
  link.title = "A slider moves the dimension of the same number in the other run too";
  find(".bar").insertBefore(link, find(".file"));
}

// ---- go

let busy = false;
function tick(now) {
  if (failed) return;
  for (const panel of panels) panel.animate(now);
  if (!busy && panels.some((panel) => panel.dirty)) {
    busy = true;
    later(async () => { for (const panel of panels) if (panel.dirty) await panel.draw(); }).then(() => { busy = false; });
  }
  requestAnimationFrame(tick);
}

async function begin() {
  const runs = JSON.parse(find("#runs").textContent);
  for (const run of runs) {
    const element = make("panel");
    find("#panels").append(element);
    panels.push(new Panel(run, element));
  }
  // First in the queue: a frame that is chosen meanwhile waits for the networks.
  const loaded = later(async () => {
    await start();
    for (const panel of panels) await panel.load();
  });
  wire();
  const offered = [];
  const seen = new Set(); // two runs may have frames of the same videos
  for (const run of runs) {
    for (const [index, url] of run.frames.entries()) if (!seen.has(url)) { seen.add(url); offered.push(await offer(run, index)); }
  }
  await loaded;
  if (failed) return;
  if (!find("#strip input:checked")) {
    offered[0].radio.checked = true;
    offered[0].act();
  }
  await queue;
  requestAnimationFrame(tick);
  status.textContent = "";
}

const ready = begin().catch(fail);
globalThis.explorer = { ready, panels, choose, square, failed: () => failed };
