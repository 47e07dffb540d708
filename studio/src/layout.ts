// The timeline -> what will be made. Every task is a layout: what is known, where, and how much noise is on it.

import type { Model } from "./api";
import { messages as m } from "./messages";

export interface Source {
  id: string; // of an uploaded file or of a finished job
  name: string;
  width: number;
  height: number;
  seconds: number;
  picture: boolean;
  path: string; // of its content
}

export interface Piece {
  id: number;
  start: number; // seconds
  seconds: number; // 0 of a still
  level: number; // of noise: 0 is known, 1 is unknown
  source: Source;
}

export interface Beat {
  id: number;
  start: number;
  text: string;
}

export interface Layout {
  pieces: Piece[];
  beats: Beat[];
  seconds: number; // of the whole canvas
  fps: number;
  loop: boolean;
  span: [number, number] | null; // of a retake, in seconds of its clip
  mask: { id: string; share: number | null } | null; // an uploaded picture, white where it is made again in the span
  size: [number, number] | null; // width, height; null is the model's, or the clip's
}

export interface Plan {
  fields: Record<string, unknown>;
  then: Record<string, unknown> | null; // a second request, for which the first output is the clip
  caption: string;
  problem: string;
  task: string;
  frames: number; // of the new part
}

const EPSILON = 1e-6;

export const isStill = (piece: Piece) => piece.source.picture;
export const end = (piece: Piece) => piece.start + piece.seconds;

export function frameTime(seconds: number, fps: number): number {
  return Math.max(0, Math.round(seconds * fps)) / fps;
}

export function defaultSeconds(model: Model): number {
  return model.num_frames / model.fps;
}

/** Seconds of new frames that are whole slices. */
export function wholeSlices(seconds: number, model: Model): number {
  const slice = model.slice_frames / model.fps;
  return Math.max(slice, Math.round(seconds / slice) * slice);
}

function story(layout: Layout): Record<string, unknown> {
  const beats = [...layout.beats].sort((a, b) => a.start - b.start).filter((beat) => beat.text.trim());
  if (beats.length < 2) return { prompt: (beats[0]?.text ?? "").trim() };
  return { story: beats.map((beat, at) => [at === 0 ? 0 : beat.start, beat.text.trim()]) };
}

function refused(problem: string): Plan {
  return { fields: {}, then: null, caption: "", problem, task: "", frames: 0 };
}

/** Return the request of a timeline, in words and as fields; `problem` says why there is none. */
export function planOf(layout: Layout): Plan {
  const text = story(layout);
  const frames = Math.max(1, Math.round(layout.seconds * layout.fps));
  const size = layout.size ? { size: `${layout.size[0]}x${layout.size[1]}` } : {};
  const clips = layout.pieces.filter((piece) => !isStill(piece)).sort((a, b) => a.start - b.start);
  const stills = layout.pieces.filter(isStill).sort((a, b) => a.start - b.start);
  if (!text.prompt && !text.story) return refused(m.layout.noPrompt);
  const empty = layout.beats.findIndex((beat) => !beat.text.trim());
  if (empty >= 0) return refused(m.layout.emptyPrompt(empty + 1));
  const of = (task: string, caption: string, count: number, fields: Record<string, unknown>): Plan => ({
    fields: { ...text, ...size, ...fields },
    then: null,
    caption,
    problem: "",
    task,
    frames: count,
  });
  if (clips.length === 0) return withoutClip(layout, stills, frames, of);
  if (stills.length > 0) return refused(m.layout.stillsAndClips);
  if (clips.length > 2) return refused(m.layout.tooManyClips);
  const [first, second] = clips;
  if (!first) return refused(m.layout.tooManyClips);
  return second ? connected(layout, first, second, of) : withClip(layout, first, of);
}

type Make = (task: string, caption: string, count: number, fields: Record<string, unknown>) => Plan;

function withoutClip(layout: Layout, stills: Piece[], frames: number, of: Make): Plan {
  const seconds = layout.seconds;
  if (layout.loop) {
    if (stills.length > 1 || (stills[0] && stills[0].start > EPSILON)) return refused(m.layout.loopOfStills);
    const image = stills[0] ? { image: [stills[0].source.id] } : {};
    return of("loop", m.layout.loopNew(seconds, stills.length > 0), frames, {
      task: "loop",
      num_frames: frames,
      ...image,
    });
  }
  if (stills.length > 0) {
    const at = stills.map((still) => frameTime(still.start, layout.fps));
    if (new Set(at).size < at.length) return refused(m.layout.sameTime);
    const fields = { image: stills.map((still) => still.source.id), at, num_frames: frames };
    if (frames < 2) return refused(m.layout.tooShort);
    const animate = stills.length === 1 && at[0] === 0;
    return of(
      animate ? "animate" : "keyframes",
      animate ? m.layout.animate(seconds) : m.layout.keyframes(at, seconds),
      frames,
      fields,
    );
  }
  const beats = layout.beats.filter((beat) => beat.text.trim());
  if (frames === 1) return of("picture", m.layout.picture, 1, { num_frames: 1 });
  const caption = beats.length > 1 ? m.layout.story(beats.length, seconds) : m.layout.video(seconds);
  return of(beats.length > 1 ? "story" : "video", caption, frames, { num_frames: frames });
}

function withClip(layout: Layout, clip: Piece, of: Make): Plan {
  const video = clip.source.id;
  const kept = Math.round(clip.source.seconds * layout.fps);
  const level = Math.round(clip.level * 100) / 100;
  const before = layout.fps * clip.start;
  const after = layout.fps * (layout.seconds - end(clip));
  const [lead, rest] = [Math.round(Math.max(0, before)), Math.round(Math.max(0, after))];
  const strength = level > 0 ? { strength: level } : {};
  const larger = layout.size && (layout.size[0] > clip.source.width || layout.size[1] > clip.source.height);
  if (layout.span || layout.mask) {
    const mask = layout.mask ? { mask: layout.mask.id } : {};
    const all = layout.mask && layout.span && layout.span[0] <= 0 && layout.span[1] >= clip.seconds - EPSILON;
    const span = layout.span && !all ? { span: layout.span } : {};
    const caption = m.layout.retake(all ? null : layout.span, layout.mask, level);
    return of(layout.mask ? "inpaint" : "retake", caption, kept, {
      task: "retake",
      video,
      ...mask,
      ...span,
      ...strength,
    });
  }
  if (level > 0) return of("edit", m.layout.edit(level), kept, { task: "edit", video, ...strength });
  if (layout.loop) {
    const count = Math.max(rest, lead);
    if (count < 1) return refused(m.layout.loopNeedsTime);
    return of("loop", m.layout.loopClip(count / layout.fps), count, { task: "loop", video, num_frames: count });
  }
  if (lead > 0 && rest > 0) {
    const plan = of("both", m.layout.both(lead / layout.fps, rest / layout.fps), lead + rest, {
      task: "extend",
      video,
      num_frames: rest,
    });
    const { story: _, ...fields } = plan.fields;
    const prompt = fields.prompt ?? layout.beats[0]?.text ?? "";
    return { ...plan, then: { ...fields, prompt, task: "extend_backward", num_frames: lead, video: "" } };
  }
  if (rest > 0)
    return of("extend", m.layout.extend(rest / layout.fps), rest, { task: "extend", video, num_frames: rest });
  if (lead > 0)
    return of("backward", m.layout.backward(lead / layout.fps), lead, {
      task: "extend_backward",
      video,
      num_frames: lead,
    });
  if (larger && layout.size) {
    const by = `${layout.size[0]}x${layout.size[1]}`;
    return of("outpaint", m.layout.outpaint(`${clip.source.width}x${clip.source.height}`, by), kept, {
      task: "retake",
      video,
    });
  }
  return refused(m.layout.allKnown);
}

function connected(layout: Layout, first: Piece, second: Piece, of: Make): Plan {
  const gap = Math.round(layout.fps * (second.start - end(first)));
  if (first.level > 0 || second.level > 0) return refused(m.layout.levelsOfTwo);
  if (gap < 1) return refused(m.layout.noGap);
  const fields = { task: "connect", video: first.source.id, into: second.source.id, num_frames: gap };
  return of("connect", m.layout.connect(gap / layout.fps), gap, fields);
}
