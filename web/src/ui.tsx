// Small things that all views use: icons, dialogs, messages that pass.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { copy } from "./clipboard";
import { Store } from "./store";

const SHAPES = {
  chat: "M4 5h16v11H9l-5 4z",
  ring: "M12 4a8 8 0 1 1 0 16 8 8 0 0 1 0-16M12 2v4M4.2 17l3.2-2M19.8 17l-3.2-2",
  models: "M4 7l8-4 8 4-8 4zM4 12l8 4 8-4M4 17l8 4 8-4",
  join: "M12 5v14M5 12h14",
  code: "M8 7l-5 5 5 5M16 7l5 5-5 5",
  send: "M4 12l16-8-6 16-3-7z",
  stop: "M7 7h10v10H7z",
  again: "M20 6v5h-5M19 11a7.5 7.5 0 1 0 .5 4",
  edit: "M4 20l1-5L16 4l4 4L9 19z",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  clip: "M19 11l-7.5 7.5a4.5 4.5 0 0 1-6.4-6.4l8-8a3 3 0 0 1 4.3 4.3l-8 8a1.5 1.5 0 0 1-2.1-2.1L14 7.6",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  left: "M14 6l-6 6 6 6",
  right: "M10 6l6 6-6 6",
  tune: "M4 7h9M17 7h3M13 5v4M4 17h3M11 17h9M9 15v4",
  list: "M4 6h16M4 12h16M4 18h10",
  close: "M6 6l12 12M18 6L6 18",
  sun: "M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8M12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6L19 19M19 5l-1.4 1.4M6.4 17.6L5 19",
  moon: "M19 14.5A8 8 0 0 1 9.5 5a8 8 0 1 0 9.5 9.5z",
  down: "M12 4v13M6 11l6 6 6-6",
  up: "M12 20V7M6 13l6-6 6 6",
  lost: "M12 4l9 16H3zM12 10v4M12 16.5v.5",
};
export type IconName = keyof typeof SHAPES;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" width="20" height="20" aria-hidden="true">
      <path d={SHAPES[name]} fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" />
    </svg>
  );
}

export function IconButton({ icon, label, onClick, disabled, pressed }: {
  icon: IconName; label: string; onClick: () => void; disabled?: boolean; pressed?: boolean;
}) {
  return (
    <button type="button" class="quiet round" title={label} aria-label={label} aria-pressed={pressed} disabled={disabled} onClick={onClick}>
      <Icon name={icon} />
    </button>
  );
}

export function CopyButton({ text, label = "Copy" }: { text: string; label?: string }) {
  const [done, setDone] = useState(false);
  const go = async () => {
    await copy(text);
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return <button type="button" class="quiet" onClick={go}>{done ? "Copied" : label}</button>;
}

/** A text to be copied: a command, a code. */
export function Snippet({ text, label }: { text: string; label: string }) {
  return (
    <div class="code">
      <div class="code-head"><span>{label}</span><CopyButton text={text} /></div>
      <pre tabIndex={0} aria-label={label}><code>{text}</code></pre>
    </div>
  );
}

export function Dialog({ title, onClose, children }: { title: string; onClose: () => void; children: ComponentChildren }) {
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    box.current!.showModal();
  }, []);
  return (
    <dialog ref={box} aria-label={title} onClose={onClose} onClick={(e) => e.target === box.current && box.current!.close()}>
      <div class="dialog">
        <header><h2>{title}</h2><IconButton icon="close" label="Close" onClick={() => box.current!.close()} /></header>
        {children}
      </div>
    </dialog>
  );
}

/* ---- messages that pass ---- */

const said = new Store<{ id: number; text: string; bad: boolean }[]>([]);
let next = 0;

export function say(text: string, bad = false): void {
  const id = next++;
  said.update((list) => [...list, { id, text, bad }]);
  setTimeout(() => said.update((list) => list.filter((s) => s.id !== id)), bad ? 12000 : 5000);
}

export function Said() {
  return (
    <div class="said" role="status" aria-live="polite">
      {said.use().map((s) => (
        <div key={s.id} class={s.bad ? "bad" : ""}>
          {s.text}
          <IconButton icon="close" label="Dismiss" onClick={() => said.update((list) => list.filter((o) => o.id !== s.id))} />
        </div>
      ))}
    </div>
  );
}

/** Width and height of an element, as they change. */
export function useSize<T extends HTMLElement>() {
  const ref = useRef<T>(null);
  const [size, setSize] = useState({ width: 0, height: 0 });
  useEffect(() => {
    const look = new ResizeObserver(([entry]) => setSize({ width: Math.round(entry.contentRect.width), height: Math.round(entry.contentRect.height) }));
    look.observe(ref.current!);
    return () => look.disconnect();
  }, []);
  return { ref, ...size };
}
