// The state of the page, and what its buttons do.

import * as api from "./api";
import type { Job, Model, Order } from "./api";
import { keepForm, keptForm } from "./form";
import { defaultSeconds, end, isStill, planOf, wholeSlices, type Layout, type Piece, type Source } from "./layout";
import { messages as m } from "./messages";

const FAST_MS = 350;
const SLOW_MS = 2500;

export interface Settings {
  seed: number;
  seeds: number;
  draft: boolean;
  steps: number | null;
  guidance: number | null;
  negative: string;
  solver: "euler" | "heun";
  expand: boolean;
}

let nextId = 1;
export const newId = () => nextId++;

function emptyLayout(model: Model | null): Layout {
  return {
    pieces: [],
    beats: [{ id: newId(), start: 0, text: "" }],
    seconds: model ? defaultSeconds(model) : 2,
    fps: model?.fps ?? 8,
    loop: false,
    span: null,
    mask: null,
    size: null,
  };
}

const firstSettings = (): Settings => ({
  seed: 0,
  seeds: 1,
  draft: false,
  steps: null,
  guidance: null,
  negative: "",
  solver: "euler",
  expand: true,
});

class Studio {
  model = $state<Model | null>(null);
  state = $state(m.state.connecting);
  lost = $state(false);
  jobs = $state.raw<Job[]>([]);
  queue = $state.raw<string[]>([]); // jobs that wait, the next first
  more = $state(false);
  limit = $state(24);
  current = $state<string | null>(null); // the job on the screen
  layout = $state<Layout>(emptyLayout(null));
  settings = $state<Settings>({ ...firstSettings(), ...keptForm<Settings>()?.settings });
  selected = $state<number | null>(null); // the piece of the timeline
  picked = $state<string[]>([]); // for comparison
  said = $state(""); // the last message
  problem = $state("");
  typed = $state(false); // the prompt was changed since something was made from it
  refusal = $state(""); // why the policy would refuse the order as it is
  busy = $state(false);
  masking = $state<Piece | null>(null);
  plan = $derived(planOf(this.layout));
  seeds = $derived(Math.max(1, Math.round(this.settings.seeds || 1)));
  clip = $derived(this.layout.pieces.find((piece) => !isStill(piece)));
  natural = $derived<[number, number]>(
    this.clip ? [this.clip.source.width, this.clip.source.height] : [this.model?.width ?? 96, this.model?.height ?? 64],
  );
  size = $derived(this.layout.size ?? this.natural);
  untrained = $derived.by(() => {
    const sizes = this.model?.sizes ?? [];
    return sizes.length > 0 && !sizes.some(([width, height]) => width === this.size[0] && height === this.size[1]);
  });
  active = $derived(this.jobs.filter((job) => job.status === "queued" || job.status === "in_progress"));
  shownJob = $derived(this.jobs.find((job) => job.id === this.current) ?? null);

  #timer = 0;
  #second = new Map<string, string>(); // the jobs of this page that wait for another, by the name of that one

  async start(): Promise<void> {
    await this.refresh();
    document.addEventListener("visibilitychange", () => void (document.hidden || this.refresh()));
  }

  /** Ask for all jobs, again and again: a page that lost its server finds it, and its jobs, by itself. */
  async refresh(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      if (!this.model) {
        this.model = await api.model();
        if (!this.layout.pieces.length) await this.#restoreForm(this.model);
      }
      const found = await api.jobs(this.limit);
      this.jobs = found.data;
      const waiting = found.data.filter((job) => job.status === "queued");
      this.queue = waiting.length > 1 ? (await api.queue()).data : waiting.map((job) => job.id);
      this.more = found.has_more && this.limit < 100;
      const problem = await api.ready();
      this.lost = false;
      this.state = problem ? m.state.wait(problem) : m.state.ready(this.model.name);
      if (this.current === null) this.current = this.jobs.find((job) => job.status === "completed")?.id ?? null;
      if (this.shownJob?.status === "completed") this.current = this.#second.get(this.shownJob.id) ?? this.current;
    } catch (problem) {
      this.lost = problem instanceof api.CallError && problem.status === 0;
      this.state = this.lost ? m.state.lost : words(problem);
    }
    this.#timer = window.setTimeout(() => void this.refresh(), this.lost || this.active.length ? FAST_MS : SLOW_MS);
  }

  /** Bring back the form of before a reload; what was typed since the page opened is kept. */
  async #restoreForm(model: Model): Promise<void> {
    const kept = keptForm<Settings>();
    const [first, ...more] = this.layout.beats;
    this.layout = { ...emptyLayout(model), beats: this.layout.beats };
    if (!kept || first?.text || more.length) return;
    this.typed = kept.typed;
    const beats = kept.beats.map((beat) => ({ ...beat, id: newId() }));
    if (kept.model !== model.name) {
      this.layout.beats = beats.slice(0, 1);
      return;
    }
    const { size, seconds, fps, loop, span, mask } = kept;
    const there = await Promise.all((kept.pieces ?? []).map((piece) => exists(piece.source)));
    const pieces = (kept.pieces ?? []).filter((_, at) => there[at]).map((piece) => ({ ...piece, id: newId() }));
    this.layout = { ...this.layout, beats, size, seconds, fps, loop, pieces };
    if (there.every(Boolean)) Object.assign(this.layout, { span, mask });
    else this.said = m.restore.expired;
  }

  /** Keep the form for a reload, once there is a model whose form it is. */
  keep(): void {
    const { beats, pieces, size, seconds, fps, loop, span, mask } = this.layout;
    const texts = beats.map(({ start, text }) => ({ start, text }));
    const files = pieces.map(({ start, seconds, level, source }) => ({ start, seconds, level, source }));
    const { model, typed, settings } = this;
    if (model)
      keepForm({
        model: model.name,
        beats: texts,
        pieces: files,
        size,
        seconds,
        fps,
        loop,
        span,
        mask,
        typed,
        settings,
      });
  }

  /** Forget the problem of the last action when something else is done. */
  forgetProblem(): void {
    if (!this.busy) this.problem = "";
  }

  /** Do what a button asks for; a refusal is shown in the words of the service. */
  async act(work: () => Promise<void>): Promise<void> {
    this.problem = "";
    this.busy = true;
    try {
      await work();
    } catch (problem) {
      this.problem = words(problem);
    }
    this.busy = false;
  }

  // Orders

  #fields(seed: number, draft: boolean): Record<string, unknown> {
    const { steps, guidance, negative, solver, expand } = this.settings;
    const fps = this.model && this.layout.fps !== this.model.fps ? { fps: this.layout.fps } : {};
    return {
      ...fps,
      ...(steps ? { num_inference_steps: steps } : {}),
      ...(guidance !== null ? { guidance_scale: guidance } : {}),
      ...(negative ? { negative_prompt: negative } : {}),
      ...(solver !== "euler" ? { solver } : {}),
      ...(expand ? {} : { expand: false }),
      ...(draft ? { draft: true } : {}),
      seed,
    };
  }

  make(): Promise<void> {
    return this.act(async () => {
      const plan = this.plan;
      if (plan.problem) throw new Error(plan.problem);
      const made: Job[] = [];
      for (let number = 0; number < this.seeds; number++) {
        const more = this.#fields(this.settings.seed + number, this.settings.draft);
        const job = await api.make({ ...plan.fields, ...more });
        if (plan.then) this.#second.set(job.id, (await api.make({ ...plan.then, ...more, video: job.id })).id);
        made.push(job);
      }
      this.current = made[0]?.id ?? this.current;
      this.typed = false;
      this.said = m.make.queued(made.length);
      await this.refresh();
    });
  }

  /** Make the same again with some fields changed; the prompt, the inputs and the other settings stay. */
  remix(job: Job, fields: Record<string, unknown>): Promise<void> {
    return this.act(async () => {
      const made = await api.remix(job.id, { prompt: job.prompt, ...fields });
      this.current = made.id;
      await this.refresh();
    });
  }

  retry(job: Job): Promise<void> {
    return this.act(async () => {
      const made = await api.remix(job.id, { prompt: job.prompt });
      await api.remove(job.id);
      this.current = made.id;
      await this.refresh();
    });
  }

  remove(job: Job): Promise<void> {
    return this.act(async () => {
      await api.remove(job.id);
      this.picked = this.picked.filter((id) => id !== job.id);
      if (this.current === job.id) this.current = null;
      await this.refresh();
    });
  }

  /** Stop a job; it stays in the queue, from where it can be made again. */
  cancel(job: Job): Promise<void> {
    return this.act(async () => {
      await api.cancel(job.id);
      await this.refresh();
    });
  }

  move(job: Job, place: number): Promise<void> {
    return this.act(async () => {
      await api.move(job.id, Math.max(0, place));
      await this.refresh();
    });
  }

  // The timeline

  clear(): void {
    this.layout = { ...emptyLayout(this.model), beats: this.layout.beats.slice(0, 1) };
    this.selected = null;
  }

  addSource(source: Source): Piece {
    const clips = this.layout.pieces.filter((piece) => !isStill(piece));
    const last = Math.max(0, ...this.layout.pieces.map(end));
    const gap = this.model ? wholeSlices(1, this.model) : 1;
    const stills = this.layout.pieces.filter(isStill);
    let start = 0;
    if (source.picture) start = stills.length ? this.layout.seconds - 1 / this.layout.fps : 0;
    else if (clips.length) start = last + gap;
    const seconds = source.picture ? 0 : source.seconds;
    const piece: Piece = { id: newId(), start, seconds, level: 0, source };
    this.layout.pieces.push(piece);
    if (!source.picture) this.layout.seconds = start + seconds;
    this.selected = piece.id;
    return piece;
  }

  async addFile(file: File): Promise<void> {
    await this.act(async () => {
      if (file.name.endsWith(".json")) return this.#restoreText(file);
      const about = await api.upload(file, file.name).catch((problem: unknown) => {
        const media = /^(image|video)\//.test(file.type);
        if (!media && problem instanceof api.CallError && problem.code === "invalid_file")
          throw new Error(m.restore.noMedia(file.name));
        throw problem;
      });
      if (about.settings) return this.restoreFile(about);
      this.addSource(sourceOf(about));
      this.said = m.restore.none(file.name);
    });
  }

  removePiece(id: number): void {
    this.layout.pieces = this.layout.pieces.filter((piece) => piece.id !== id);
    this.layout.span = null;
    this.layout.mask = null;
    if (this.selected === id) this.selected = null;
    if (!this.layout.pieces.length && this.model) this.layout.seconds = defaultSeconds(this.model);
  }

  useJob(job: Job): void {
    this.addSource({
      id: job.id,
      name: job.prompt.slice(0, 40),
      width: Number(job.size.split("x")[0]),
      height: Number(job.size.split("x")[1]),
      seconds: job.num_frames / job.fps,
      picture: job.object === "picture",
      path: api.contentPath(job.id),
    });
    if (this.typed && this.layout.beats.some((beat) => beat.text.trim())) return;
    this.layout.beats = [{ id: newId(), start: 0, text: beatsOf(job.prompt)[0]?.text ?? "" }];
    this.typed = false;
  }

  // Restoring

  restoreJob(job: Job): Promise<void> {
    return this.act(async () => {
      await this.#restoreOrder(await api.orderOf(job.id));
      this.said = m.restore.done(job.prompt);
    });
  }

  async restoreFile(about: api.FileAbout): Promise<void> {
    if (about.job) {
      this.current = about.job;
      await this.#restoreOrder(await api.orderOf(about.job));
      this.said = m.restore.done(about.name);
    } else this.#restoreSettings(about.settings ?? {}, about.name);
  }

  async #restoreText(file: File): Promise<void> {
    const text = await file.text();
    let found: Record<string, unknown> = {};
    try {
      found = JSON.parse(text) as Record<string, unknown>;
    } catch {
      // said below: it holds no prompt
    }
    if (typeof found?.prompt !== "string") throw new Error(m.restore.json(file.name));
    this.#restoreSettings(found, file.name);
  }

  #restoreSettings(found: Record<string, any>, name: string): void {
    const text = String(found.typed_prompt ?? found.prompt ?? "");
    this.typed = false;
    this.layout = {
      ...emptyLayout(this.model),
      beats: beatsOf(text),
      fps: found.fps ?? this.layout.fps,
      seconds: (found.num_frames ?? 1) / (found.fps ?? this.layout.fps),
      size: found.width && found.height ? [found.width, found.height] : null,
      loop: found.task === "loop",
    };
    this.settings = {
      ...firstSettings(),
      seed: Number(found.seed ?? 0),
      steps: found.num_steps ?? null,
      guidance: found.guidance_scale ?? null,
      negative: found.negative_prompt ?? "",
      solver: found.solver === "heun" ? "heun" : "euler",
      draft: found.draft === true,
      expand: found.expand ?? found.typed_prompt !== undefined, // older files: the prompt as the model was told it
    };
    const plain = ["text to video", "text to picture", "text_to_video", "loop"].includes(String(found.task));
    this.said = m.restore.done(name) + (plain ? "" : ` ${m.restore.inputs}`);
  }

  async #restoreOrder(order: Order): Promise<void> {
    const model = this.model;
    if (!model) return;
    const fps = order.fps ?? model.fps;
    const made = order.num_frames ? order.num_frames / fps : (order.seconds ?? defaultSeconds(model));
    const layout: Layout = {
      ...emptyLayout(model),
      beats: order.story.map(([start, text]) => ({ id: newId(), start, text })),
      seconds: made,
      fps,
      size: order.size,
      loop: order.task === "loop",
    };
    const source = (id: string): Source => sourceOf({ ...order.files[id]!, id, settings: null, job: null });
    const place = (id: string, start: number, level = 0) => {
      const found = source(id);
      layout.pieces.push({ id: newId(), start, seconds: found.picture ? 0 : found.seconds, level, source: found });
      return found.seconds;
    };
    order.images.forEach((id, number) => place(id, order.at[number] ?? 0));
    if (order.video) {
      const backward = order.task === "extend_backward";
      const kept = place(order.video, backward ? made : 0, order.strength ?? 0);
      const fixed = order.task === "edit" || order.task === "retake" || order.task === "outpaint";
      layout.seconds = fixed ? kept : kept + made;
      if (order.into) layout.seconds = kept + made + place(order.into, kept + made);
    }
    if (order.task === "retake" && (order.start !== null || order.stop !== null))
      layout.span = [order.start ?? 0, order.stop ?? layout.seconds];
    if (order.mask) {
      layout.mask = { id: order.mask, share: null };
      layout.span ??= [0, layout.seconds];
    }
    this.layout = layout;
    this.typed = false;
    this.settings = {
      seed: order.seed,
      seeds: 1,
      draft: order.draft,
      steps: order.steps,
      guidance: order.guidance,
      negative: order.negative,
      solver: order.solver,
      expand: order.expand,
    };
  }
}

/** Whether the service still has a file or video. */
async function exists(source: Source): Promise<boolean> {
  try {
    await (source.id.startsWith("file_") ? api.fileAbout(source.id) : api.job(source.id));
    return true;
  } catch (problem) {
    if (problem instanceof api.CallError && problem.status === 404) return false;
    throw problem;
  }
}

function beatsOf(text: string): Layout["beats"] {
  const lines = text.split("\n").filter(Boolean);
  const found = lines.map((line) => /^([\d.]+): (.*)$/.exec(line));
  if (lines.length > 1 && found.every(Boolean))
    return found.map((match) => ({ id: newId(), start: Number(match![1]), text: match![2]! }));
  return [{ id: newId(), start: 0, text }];
}

export function sourceOf(about: api.FileAbout): Source {
  return {
    id: about.id,
    name: about.name,
    width: about.width,
    height: about.height,
    seconds: about.seconds,
    picture: about.num_frames === 1,
    path: api.filePath(about.id),
  };
}

export function words(problem: unknown): string {
  if (problem instanceof api.CallError && problem.status === 0) return m.problem.lost;
  return problem instanceof Error ? problem.message : String(problem);
}

export const studio = new Studio();
