// All words of the page. A translation is another file of the same shape.

const s = (seconds: number) => `${Number(seconds.toFixed(2))} s`;
const percent = (share: number) => `${Math.round(100 * share)} %`;
const count = (number: number, one: string, many: string) => `${number} ${number === 1 ? one : many}`;

function bytes(number: number): string {
  return number >= 1e9 ? `${(number / 1e9).toFixed(1)} GB` : `${Math.max(1, Math.round(number / 1e6))} MB`;
}

function duration(seconds: number): string {
  if (seconds < 1) return "under 1 s";
  if (seconds < 90) return `about ${Math.round(seconds)} s`;
  if (seconds < 5400) return `about ${Math.round(seconds / 60)} min`;
  return `about ${(seconds / 3600).toFixed(1)} h`;
}

export const messages = {
  title: "Chronotope",
  skip: "Skip to the content",
  pages: { label: "Pages", studio: "Studio", folders: "Folders" },
  theme: { label: "Colours", auto: "Like the system", light: "Light", dark: "Dark" },
  state: {
    connecting: "Connecting",
    ready: (model: string) => `${model} is ready`,
    lost: "The server does not answer. This page tries again; jobs are on disk and go on.",
    wait: (reason: string) => `Not ready: ${reason}`,
  },
  token: {
    title: "This server needs a token",
    label: "Token",
    hint: "It is kept in this tab only.",
    send: "Use it",
    cancel: "Cancel",
  },
  prompt: {
    title: "What should be seen?",
    label: "Prompt",
    placeholder: "a red ball rolls to the right",
    examples: "Try one of these",
    words: "Words the model knows",
    kinds: { things: "Things", colours: "Colours", actions: "Actions", places: "Places" } as Record<string, string>,
    told: "The model will be told",
    asTyped: "The model will be told this, word for word.",
    removed: "removed",
    added: "added",
    lines: "These lines are one prompt of one video. For parts of one video, add prompts on the timeline.",
    full: (most: number) => `A prompt has at most ${most} characters; what comes after them is cut off.`,
    refused: (why: string) => `It would not be made: ${why}.`,
    negative: "Not to be there",
  },
  chance: {
    title: "Chance of success",
    about: (share: number, low: number, high: number) =>
      `${Math.round(100 * share)} % of such videos in our tests showed all of the prompt ` +
      `(95 % interval: ${Math.round(100 * low)} to ${Math.round(100 * high)})`,
    line: (kind: string, right: number, tries: number) =>
      `Measured with prompts of this kind (${kind}): ${right} of ${tries} videos showed all that was asked for.`,
    without: (gesture: string) =>
      `This is the rate of the prompt alone, without ${gesture}: no rate was measured with it.`,
    others: "Other rates that apply",
    other: (kind: string, right: number, tries: number) => `${kind}: ${right} of ${tries}`,
    untrained: (width: number, height: number) =>
      `No rate was measured at ${width}x${height}: it is no size of the training.`,
    unmeasured: "No rate was measured for this: its words, length, task or model are beyond the measured ones.",
    overall: (share: number, videos: number) => `Over all ${videos} measured videos: ${percent(share)}.`,
  },
  timeline: {
    title: "Timeline",
    hint: "Drag edges to change times. Arrow keys move a piece, with Shift they change its length.",
    canvas: "Canvas",
    length: "Length",
    lengthValue: (seconds: number, frames: number) => `${s(seconds)}, ${count(frames, "frame", "frames")}`,
    media: "Pictures and clips",
    prompts: "Prompts",
    unknown: "will be made",
    addMedia: "Add picture or clip",
    addBeat: "Add prompt",
    clear: "Clear timeline",
    piece: (name: string, picture: boolean) => `${picture ? "Picture" : "Clip"} ${name}`,
    start: (name: string) => `Start of ${name}`,
    beat: (number: number) => `Prompt ${number}`,
    beatStart: (number: number) => `Start of prompt ${number}`,
    remove: "Remove",
    removeBeat: (number: number) => `Remove prompt ${number}`,
    level: "Noise level",
    levelValue: (level: number) =>
      level === 0
        ? "0: known, stays as it is"
        : level === 1
          ? "1: unknown, made anew"
          : `${level.toFixed(2)}: the gist stays`,
    levelOf: (level: number) => (level === 0 ? "known" : `noise ${level.toFixed(2)}`),
    span: "Made again",
    spanFrom: "Made again from",
    spanTo: "Made again until",
    at: (seconds: number) => s(seconds),
    loop: "Ends where it begins (loop)",
    gestures: "Gestures",
    gesture: {
      animate: "Animate",
      keyframes: "Keyframes",
      extend: "Extend",
      backward: "Extend backward",
      both: "Extend both ways",
      connect: "Connect",
      loop: "Loop",
      edit: "Edit",
      retake: "Retake",
      inpaint: "Inpaint",
      outpaint: "Outpaint",
      story: "Story",
    },
    needs: {
      animate: "needs a picture",
      keyframes: "needs pictures",
      extend: "needs a clip",
      connect: "needs two clips",
    },
    drop: "Drop a picture, a clip, or any output of this program to restore its settings",
  },
  caption: {
    title: "What will be made",
    blocked: "Nothing can be made yet",
    each: (number: number, picture: boolean, seed: number, line: string) =>
      `${number} ${picture ? "pictures" : "videos"}, seeds ${seed} to ${seed + number - 1}. ` +
      `Each of them: ${line.charAt(0).toLowerCase()}${line.slice(1)}`,
  },
  layout: {
    noPrompt: "Say first what should be seen.",
    emptyPrompt: (number: number) => `Prompt ${number} is empty. Write it, or remove it.`,
    stillsAndClips: "Pictures and clips are not combined on one canvas. Remove one kind.",
    tooManyClips: "At most two clips are connected at once. Remove one.",
    levelsOfTwo: "Two clips are connected as they are. Set their noise levels to 0.",
    noGap: "The clips touch. Drag the second one to the right: the gap is what will be made.",
    allKnown: "All of the canvas is known. Drag its end, raise the noise level, or choose a gesture.",
    loopOfStills: "A loop begins with one picture at 0 s. Remove the others.",
    loopNeedsTime: "Drag the end of the canvas: the new part closes the loop.",
    sameTime: "Two pictures stand at one time. Move one.",
    tooShort: "A video from a picture needs at least two frames. Drag the end of the canvas.",
    picture: "A picture.",
    video: (seconds: number) => `A video of ${s(seconds)} from the prompt.`,
    story: (beats: number, seconds: number) =>
      `A video of ${s(seconds)} that tells ${beats} prompts, each from its time on.`,
    animate: (seconds: number) => `A video of ${s(seconds)} that begins with your picture.`,
    keyframes: (at: number[], seconds: number) =>
      `A video of ${s(seconds)} through your pictures at ${at.map(s).join(", ")}; what lies between them is made.`,
    extend: (seconds: number) => `Your clip stays, and ${s(seconds)} are made after it.`,
    backward: (seconds: number) => `Your clip stays, and ${s(seconds)} are made that lead to it.`,
    both: (before: number, after: number) =>
      `Your clip stays; ${s(after)} are made after it, then ${s(before)} before it. ` +
      "These are two jobs; the second one waits for the first.",
    connect: (seconds: number) => `Both clips stay, and ${s(seconds)} are made that lead from one to the other.`,
    loopNew: (seconds: number, still: boolean) =>
      `A video of ${s(seconds)} that ends where it begins${still ? ", from your picture" : ""}.`,
    loopClip: (seconds: number) =>
      `Your clip stays, and ${s(seconds)} are made that lead from its end back to its beginning.`,
    edit: (level: number) =>
      `Your clip is made again from noise level ${level.toFixed(2)}: its gist stays, the prompt decides the rest.`,
    retake: (span: [number, number] | null, mask: { share: number | null } | null, level: number) => {
      const part = mask?.share ? `${percent(mask.share)} of the frame` : "part of the frame";
      const where = mask ? `The masked ${part}` : "The frames";
      const when = span ? ` from ${s(span[0])} to ${s(span[1])}` : mask ? " in all frames" : "";
      const how = level > 0 ? `, from noise level ${level.toFixed(2)}` : "";
      const cells = mask ? ", in whole cells" : "";
      return `${where}${when} ${mask ? "is" : "are"} made again${cells}${how}; the rest of your clip stays.`;
    },
    outpaint: (from: string, to: string) =>
      `Your clip of ${from} stays in the middle, and what surrounds it up to ${to} is made.`,
  },
  mask: {
    title: "Where should it be made again?",
    hint:
      "Paint with the mouse or a finger. Every outlined cell that has paint in it is made again, whole and in all frames. " +
      "The edges on the timeline then choose the frames.",
    brush: "Brush size",
    left: "Left (%)",
    top: "Top (%)",
    width: "Width (%)",
    height: "Height (%)",
    rectangle: "Add rectangle",
    clear: "Clear",
    invert: "Invert",
    use: "Use this mask",
    cancel: "Cancel",
    area: "The first frame of the clip, with the painted mask and the cells that will be made again",
    share: (share: number, cell: [number, number]) =>
      `${percent(share)} of the frame will be made again, in whole cells of ${cell[0]}x${cell[1]} pixels.`,
    empty: "Paint something first.",
  },
  size: {
    title: "Size",
    handle: "Size of the frame",
    width: "Width",
    height: "Height",
    trained: "Sizes of the training",
    other: (width: number, height: number) => `${width}x${height} is no size of the training; expect lower quality.`,
    value: (width: number, height: number) => `${width} by ${height} pixels`,
    changed: (typed: string, made: number, unit: number, most: number) =>
      `${typed || "Nothing"} became ${made}: a side is a multiple of ${unit} pixels, from ${unit} to ${most}.`,
    outside: "A longer video than those of the training; expect lower quality.",
  },
  estimate: {
    line: (number: number, seconds: number, memory: number, waiting: number) =>
      `${number > 1 ? `All ${number} take` : "Takes"} ${duration(seconds)} and ${bytes(memory)} of memory` +
      (waiting >= 1 ? `, after ${duration(waiting)} of queue.` : "."),
    rough: "A first guess: the first video measures this machine.",
    tooMuch: (available: number) => `This is more than the ${bytes(available)} that are free.`,
  },
  make: {
    go: "Make it",
    draft: "Draft",
    draftHint: "A third of the steps, at the model's own size; then the final of the same seed.",
    settings: "Settings",
    seed: "Seed",
    random: "Another seed",
    seeds: "How many seeds",
    more: "More settings",
    steps: "Steps",
    guidance: "Guidance",
    negative: "What should not be seen",
    solver: "Solver",
    expand: "Write my prompt in the words of the training",
    ask: (seconds: number) => `It takes ${duration(seconds)}. Click again`,
    queued: (number: number) => `${count(number, "job", "jobs")} queued.`,
    models: "the model's",
  },
  stage: {
    title: "Screen",
    empty: "Videos are played here. Choose an example and make it.",
    waiting: (before: number) => (before > 0 ? `${count(before, "job", "jobs")} before it` : "Next in the queue"),
    working: (step: number, total: number) => (total ? `Step ${step} of ${total}` : "Begins"),
    preview: "How it looks so far",
    frame: (number: number, total: number) => `Frame ${number} of ${total}`,
    previous: "Previous frame",
    next: "Next frame",
    play: "Play",
    pause: "Pause",
    keys: "Keys: left and right for frames, space to play.",
    save: "Save file",
    restore: "Restore settings",
    use: "Put on timeline",
    final: "Make the final of this seed",
    again: "Make with the next seed",
    remove: "Delete",
    removeAsk: "Delete it? Click again",
    explain: "Explain",
    noMp4: "This browser plays no MP4. Save the file instead.",
    gone: "This file is gone.",
    failed: "It failed",
    notMade: "It was not made. The queue can make it again.",
    draft: "draft",
  },
  explain: {
    title: "How it was made",
    prompt: "Prompt",
    typed: (text: string) => `You typed: ${text}`,
    told: (text: string) => `The model was told: ${text}`,
    canvas: "Canvas",
    canvasLine: (task: string, frames: number, size: string, fps: number) =>
      `Task: ${task}. ${count(frames, "frame", "frames")} of ${size} at ${fps} frames a second.`,
    windows: (windows: number) => `Sampled in ${count(windows, "window", "windows")}.`,
    transformer: "Transformer (noise to latents)",
    transformerLine: (steps: number, solver: string, guidance: number, seed: number) =>
      `${count(steps, "step", "steps")} of the ${solver} solver, guidance ${guidance}, seed ${seed}.`,
    autoencoder: "Autoencoder (latents to pixels)",
    noise: (level: number) => `Its decoder expects errors of size ${level} in the latents.`,
    took: (seconds: number, share: number) => `${s(seconds)}, ${percent(share)} of the work`,
    model: "Model",
    hash: (part: string, hash: string) => `${part} ${hash}`,
    computed: (where: string, precision: string) => `Computed in ${precision} with ${where}.`,
    notes: "Notes",
    close: "Close",
    all: "All settings",
  },
  queue: {
    title: "Queue",
    empty: "Nothing waits.",
    cancel: "Cancel",
    cancelAsk: "Cancel it? Click again",
    gone: "removed",
    retry: "Try again",
    cancelled: "Cancelled",
    remake: "Make again",
    dismiss: "Remove",
    up: "Earlier",
    down: "Later",
    of: (prompt: string) => `of ${prompt}`,
    progress: (prompt: string) => `Progress of ${prompt}`,
    states: { queued: "waits", in_progress: "is made", failed: "failed", completed: "done" } as Record<string, string>,
    followed: "A second part waits for this one.",
    follows: "Waits for its first part.",
  },
  gallery: {
    title: "Gallery",
    empty: "What you make is kept here.",
    show: (prompt: string) => `Show ${prompt}`,
    pick: (prompt: string) => `Compare ${prompt}`,
    compare: (number: number) => `Compare ${number} side by side`,
    unpick: "Choose none",
    older: "Show older ones",
    facts: (seconds: string, size: string, seed: number, task: string | null) =>
      `${task ? `${task.replaceAll("_", " ")}, ` : ""}${seconds} s, ${size}, seed ${seed}`,
  },
  compare: {
    title: "Side by side",
    play: "Play together",
    pause: "Pause",
    setting: "Setting",
    same: "All settings are equal.",
    close: "Close",
    frame: "Frame",
  },
  folders: {
    title: "Folders",
    none: "This server shows no folders. Start it with: chronotope serve --show FOLDER",
    choose: "Choose a dataset, a training run or a report.",
    list: "Folders that are shown",
    kinds: { dataset: "Dataset", run: "Training run", report: "Report" } as Record<string, string>,
    clips: (number: number) => count(number, "clip", "clips"),
    missing: (number: number) => `The files of ${count(number, "clip", "clips")} are missing.`,
    caption: "Caption",
    source: "Source",
    licence: "Licence",
    details: "All fields",
    newer: "Previous",
    older: "Next",
    steps: (number: number) => `${count(number, "logged row", "logged rows")}; this page follows the file.`,
    step: "step",
    curve: (name: string) => `${name} by step`,
    last: (name: string, value: string) => `${name} ${value}`,
    samples: "Samples of the run",
    config: "Configuration",
    success: "Success",
    rate: (right: number, of: number, low: number, high: number) =>
      `${right} of ${of} (${percent(low)} to ${percent(high)})`,
    checks: "Checks, the lowest first",
    strata: "Strata",
    failures: "Failures",
  },
  restore: {
    done: (name: string) => `The settings of ${name} are restored.`,
    expired: "Files of the timeline are gone from the server. Add them again.",
    inputs: "Its pictures and clips are not in the file. Add them to the timeline.",
    none: (name: string) => `${name} is on the timeline.`,
    noMedia: (name: string) => `${name} is no picture or video that can be read. Drop a picture or a video file.`,
    json: (name: string) => `${name} holds no settings of this program.`,
  },
  dismiss: "Dismiss",
  problem: { lost: "The server does not answer.", browser: (words: string) => words },
};
