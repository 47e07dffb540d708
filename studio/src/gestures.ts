// One gesture a task: each arranges the timeline for what is on it. `lacks` names what is missing.

import { defaultSeconds, frameTime, isStill, wholeSlices, type Layout, type Piece } from "./layout";
import type { Model } from "./api";
import { newId } from "./studio.svelte";

export const GESTURES = [
  "animate",
  "keyframes",
  "extend",
  "backward",
  "both",
  "connect",
  "loop",
  "edit",
  "retake",
  "inpaint",
  "outpaint",
  "story",
] as const;
export type Gesture = (typeof GESTURES)[number];
export type Need = "animate" | "keyframes" | "extend" | "connect";

const EDIT_LEVEL = 0.9; // below it the shipped model keeps colours and places (docs/tasks/edit.md)

/** Return what a gesture lacks; an empty text where it can be made. */
export function lacks(gesture: Gesture, layout: Layout): Need | "" {
  const stills = layout.pieces.filter(isStill).length;
  const clips = layout.pieces.length - stills;
  if (gesture === "story" || gesture === "loop") return "";
  if (gesture === "animate") return stills ? "" : "animate";
  if (gesture === "keyframes") return stills ? "" : "keyframes";
  if (gesture === "connect") return clips > 1 ? "" : "connect";
  return clips ? "" : "extend";
}

/** Arrange the timeline for the selected clip, else the last; `mask` is called where a region is painted first. */
export function arrange(
  gesture: Gesture,
  layout: Layout,
  selected: number | null,
  model: Model,
  mask: (piece: Piece) => void,
): void {
  const part = wholeSlices(defaultSeconds(model) / 2, model);
  const clips = layout.pieces.filter((piece) => !isStill(piece));
  const stills = layout.pieces.filter(isStill);
  const clip = clips.find((piece) => piece.id === selected) ?? clips.at(-1);
  layout.span = null;
  layout.mask = null;
  layout.loop = gesture === "loop";
  for (const piece of clips) piece.level = 0;
  if (gesture === "story") {
    const last = layout.beats.at(-1);
    const start = last && layout.beats.length > 1 ? last.start + part : part;
    layout.beats.push({ id: newId(), start, text: "" });
    layout.seconds = Math.max(layout.seconds, start + part);
    return;
  }
  if (gesture === "animate" || gesture === "keyframes") {
    layout.pieces = gesture === "animate" ? stills.slice(0, 1) : stills;
    layout.seconds = defaultSeconds(model);
    const last = layout.seconds - 1 / layout.fps;
    layout.pieces.forEach((still, at) => (still.start = at === 0 ? 0 : (last * at) / (layout.pieces.length - 1)));
    return;
  }
  if (!clip) {
    if (gesture === "loop") layout.seconds = wholeSlices(defaultSeconds(model), model);
    return;
  }
  const [first, second] = clips;
  if (gesture === "connect" && first && second) {
    layout.pieces = [first, second];
    first.start = 0;
    second.start = first.seconds + part;
    layout.seconds = second.start + second.seconds;
    return;
  }
  layout.pieces = [clip];
  clip.start = gesture === "backward" || gesture === "both" ? part : 0;
  const after = gesture === "extend" || gesture === "both" || gesture === "loop" ? part : 0;
  layout.seconds = clip.start + clip.seconds + after;
  layout.size = null;
  if (gesture === "edit") clip.level = EDIT_LEVEL;
  if (gesture === "retake")
    layout.span = [frameTime(clip.seconds / 3, layout.fps), frameTime(clip.seconds, layout.fps)];
  if (gesture === "inpaint") mask(clip);
  if (gesture === "outpaint") {
    const [width, height] = model.cell;
    layout.size = [
      Math.ceil((clip.source.width * 1.3) / width) * width,
      Math.ceil((clip.source.height * 1.3) / height) * height,
    ];
  }
}
