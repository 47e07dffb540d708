// What was typed and set survives a reload of the tab: the timeline and the settings. Files stay on the server.

import type { Beat, Layout, Piece } from "./layout";

const FORM = "chronotope.form";

export interface Form<Settings> {
  model: string; // whose sizes and lengths these are
  beats: Pick<Beat, "start" | "text">[];
  pieces: Omit<Piece, "id">[];
  size: Layout["size"];
  seconds: number;
  fps: number;
  loop: boolean;
  span: Layout["span"];
  mask: Layout["mask"];
  typed: boolean;
  settings: Settings;
}

export function keepForm<Settings>(form: Form<Settings>): void {
  sessionStorage.setItem(FORM, JSON.stringify(form));
}

export function keptForm<Settings>(): Form<Settings> | null {
  try {
    return JSON.parse(sessionStorage.getItem(FORM) ?? "null") as Form<Settings> | null;
  } catch {
    return null;
  }
}
