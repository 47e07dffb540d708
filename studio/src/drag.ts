// Dragging with mouse, pen or finger: the distance from where it began, in pixels of the page.

export interface Drag {
  start: () => void;
  move: (x: number, y: number) => void;
  end?: () => void;
}

export function draggable(node: HTMLElement, drag: Drag): { update: (next: Drag) => void; destroy: () => void } {
  let current = drag;
  let from: [number, number] | null = null;

  const down = (event: PointerEvent) => {
    if (event.button !== 0) return;
    from = [event.clientX, event.clientY];
    node.setPointerCapture(event.pointerId);
    event.stopPropagation();
    current.start();
  };
  const move = (event: PointerEvent) => {
    if (from) current.move(event.clientX - from[0], event.clientY - from[1]);
  };
  const up = () => {
    if (from) current.end?.();
    from = null;
  };
  node.addEventListener("pointerdown", down);
  node.addEventListener("pointermove", move);
  node.addEventListener("pointerup", up);
  node.addEventListener("pointercancel", up);
  return {
    update: (next) => (current = next),
    destroy: () => {
      node.removeEventListener("pointerdown", down);
      node.removeEventListener("pointermove", move);
      node.removeEventListener("pointerup", up);
      node.removeEventListener("pointercancel", up);
    },
  };
}
