// The calls of the service. Every other file goes through these functions.

export interface Job {
  id: string;
  object: "video" | "picture";
  model: string;
  status: "queued" | "in_progress" | "completed" | "failed";
  progress: number;
  created_at: number;
  completed_at: number | null;
  prompt: string;
  seconds: string;
  size: string;
  error: { code: string; message: string } | null;
  revised_prompt: string | null;
  remixed_from_video_id: string | null;
  seed: number;
  draft: boolean;
  task: string | null;
  waits_for: string[]; // videos that are its clips and still being made
  num_frames: number;
  fps: number;
  step: number;
  total_steps: number;
  previews: number;
  notes: string[];
}

export interface Rate {
  right: number;
  of: number;
  share: number;
  interval: [number, number];
}

export interface Model {
  name: string;
  width: number;
  height: number;
  num_frames: number;
  fps: number;
  num_inference_steps: number;
  guidance_scale: number;
  cell: [number, number];
  slice_frames: number;
  sizes: [number, number][];
  lengths: [number, number] | null;
  chips: Record<string, string[]>;
  examples: string[];
  measured: { about: { suite: string; videos: number } | null; success: Rate | null };
}

export interface Chance {
  kind: string;
  right: number;
  tries: number;
  low: number;
  high: number;
}

export interface Reading {
  typed: string;
  told: string;
  negative: string;
  notes: string[];
  chances: Chance[];
  refusal: string; // empty where an order with these texts is accepted
}

export interface Estimate {
  seconds: number;
  bytes: number;
  measured: boolean;
  available: number;
  waiting_seconds: number;
}

export interface FileAbout {
  id: string;
  name: string;
  width: number;
  height: number;
  num_frames: number;
  fps: number;
  seconds: number;
  settings: Record<string, unknown> | null;
  job: string | null;
}

export interface Order {
  story: [number, string][];
  task: string | null;
  images: string[];
  at: number[];
  video: string | null;
  into: string | null;
  mask: string | null;
  strength: number | null;
  context: number | null;
  start: number | null;
  stop: number | null;
  size: [number, number] | null;
  seconds: number | null;
  num_frames: number | null;
  fps: number | null;
  steps: number | null;
  guidance: number | null;
  solver: "euler" | "heun";
  negative: string;
  draft: boolean;
  seed: number;
  expand: boolean;
  files: Record<string, Omit<FileAbout, "id" | "settings" | "job">>;
}

export interface ShownFolder {
  id: string;
  kind: "dataset" | "run" | "report";
  name: string;
}

/** A refusal of the service, in its own words; status 0 where there was no answer. */
export class CallError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly code = "",
  ) {
    super(message);
  }
}

const TOKEN = "chronotope.token";
let askToken: () => Promise<string | null> = async () => null;

export function onToken(ask: () => Promise<string | null>): void {
  askToken = ask;
}

export function hasToken(): boolean {
  return sessionStorage.getItem(TOKEN) !== null;
}

export async function call(method: string, path: string, body?: FormData | object): Promise<Response> {
  const token = sessionStorage.getItem(TOKEN);
  const headers: Record<string, string> = token ? { Authorization: `Bearer ${token}` } : {};
  const options: RequestInit = { method, headers };
  if (body instanceof FormData) options.body = body;
  else if (body) {
    headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let answer: Response;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new CallError(0, "");
  }
  if (answer.status === 401) {
    const typed = await askToken();
    if (typed) {
      sessionStorage.setItem(TOKEN, typed);
      return call(method, path, body);
    }
  }
  if (!answer.ok) {
    const found = (await answer.json().catch(() => null)) as {
      error?: { message?: string; code?: string };
    } | null;
    throw new CallError(answer.status, found?.error?.message ?? `${answer.status}`, found?.error?.code);
  }
  return answer;
}

async function get<T>(path: string): Promise<T> {
  return (await (await call("GET", path)).json()) as T;
}

interface Fetched {
  url: Promise<string>;
  users: number;
}

const blobs = new Map<string, Fetched>();

/** The address of a file of the service, and a function to call when it is shown no more.
 *
 * With a token the file is fetched, since elements send no headers, and kept in memory until its last user lets go.
 */
export function address(path: string): [url: Promise<string>, letGo: () => void] {
  if (!hasToken()) return [Promise.resolve(path), () => {}];
  const known = blobs.get(path) ?? { url: fetchBlob(path), users: 0 };
  const forget = () => void (blobs.get(path) === known && blobs.delete(path));
  blobs.set(path, known);
  known.users++;
  known.url.catch(forget); // it is fetched again when it is shown again
  const letGo = () => {
    known.users--;
    if (known.users > 0) return;
    forget();
    known.url.then(URL.revokeObjectURL, () => {});
  };
  return [known.url, letGo];
}

async function fetchBlob(path: string): Promise<string> {
  return URL.createObjectURL(await (await call("GET", path)).blob());
}

export const contentPath = (id: string) => `/v1/generations/${id}/content`;
export const thumbnailPath = (id: string) => `/v1/generations/${id}/content?variant=thumbnail`;
export const previewPath = (job: Job) => `/v1/generations/${job.id}/preview?n=${job.previews}`;
export const filePath = (id: string) => `/v1/files/${id}/content`;
export const mediaPath = (folder: string, name: string) =>
  `/v1/shown/media?id=${encodeURIComponent(folder)}&name=${encodeURIComponent(name)}`;

export const model = () => get<Model>("/v1/studio/model");
export const jobs = (limit: number) => get<{ data: Job[]; has_more: boolean }>(`/v1/generations?limit=${limit}`);
export const queue = () => get<{ data: string[] }>("/v1/studio/queue");
export const job = (id: string) => get<Job>(`/v1/generations/${id}`);
export const orderOf = (id: string) => get<Order>(`/v1/generations/${id}/order`);
export const settingsOf = (id: string) => get<Record<string, unknown>>(`/v1/generations/${id}/settings`);

/** Read one prompt of a story; by `prompts`, which are all of them, and `others` the whole is accepted or refused. */
export function read(text: string, frames: number, fps: number, prompts: string[], others: Record<string, string>) {
  const query = new URLSearchParams({ text, num_frames: `${frames}`, fps: `${fps}`, ...others });
  for (const prompt of prompts) query.append("prompt", prompt);
  return get<Reading>(`/v1/studio/prompt?${query}`);
}

export const shownFolders = () => get<{ data: ShownFolder[] }>("/v1/shown");
export const shownContent = (id: string, offset = 0) =>
  get<Record<string, any>>(`/v1/shown/content?id=${encodeURIComponent(id)}&offset=${offset}`);
export const fileAbout = (id: string) => get<FileAbout>(`/v1/files/${id}/about`);

export const estimate = (width: number, height: number, frames: number, steps: number, guidance: number) =>
  get<Estimate>(
    `/v1/studio/estimate?width=${width}&height=${height}&num_frames=${frames}&steps=${steps}&guidance=${guidance}`,
  );

export async function ready(): Promise<string> {
  try {
    await call("GET", "/ready");
    return "";
  } catch (problem) {
    if (problem instanceof CallError && problem.status === 503) return problem.message;
    throw problem;
  }
}

export async function make(fields: Record<string, unknown>): Promise<Job> {
  return (await (await call("POST", "/v1/generations", fields)).json()) as Job;
}

export async function remix(id: string, fields: Record<string, unknown>): Promise<Job> {
  return (await (await call("POST", `/v1/videos/${id}/remix`, fields)).json()) as Job;
}

export async function remove(id: string): Promise<void> {
  await call("DELETE", `/v1/generations/${id}`);
}

export async function cancel(id: string): Promise<void> {
  await call("POST", `/v1/generations/${id}/cancel`);
}

export async function move(id: string, place: number): Promise<void> {
  await call("POST", `/v1/generations/${id}/move`, { place });
}

export async function upload(file: Blob, name: string): Promise<FileAbout> {
  const form = new FormData();
  form.set("file", file, name);
  const stored = (await (await call("POST", "/v1/files", form)).json()) as { id: string };
  return fileAbout(stored.id);
}
