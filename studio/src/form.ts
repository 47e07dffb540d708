// What was typed and set survives a reload of the tab: prompts, size, length and settings. Files do not.

import type { Beat, Layout } from "./layout";

const FORM = "chronotope.form";

export interface Form<Settings> {
  model: string; // whose sizes and lengths these are
  beats: Pick<Beat, "start" | "text">[];
  size: Layout["size"];
  seconds: number;
  fps: number;
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
