// A value that components watch. set() tells them; use() makes a component one of them.
import { useEffect, useState } from "preact/hooks";

export class Store<T> {
  private watchers = new Set<() => void>();
  constructor(private value: T) {}

  get(): T {
    return this.value;
  }

  set(value: T): void {
    if (value === this.value) return;
    this.value = value;
    for (const watcher of [...this.watchers]) watcher();
  }

  update(change: (value: T) => T): void {
    this.set(change(this.value));
  }

  watch(watcher: () => void): () => void {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }

  use(): T {
    const [, redraw] = useState(0);
    useEffect(() => {
      const seen = this.value;
      const stop = this.watch(() => redraw((n) => n + 1));
      if (seen !== this.value) redraw((n) => n + 1);
      return stop;
    }, []);
    return this.value;
  }
}

/** Kept in this browser under a name. */
export class KeptStore<T> extends Store<T> {
  constructor(private name: string, initial: T) {
    super(read(name, initial));
  }

  override set(value: T): void {
    try {
      localStorage.setItem(this.name, JSON.stringify(value));
    } catch {
      // A browser that keeps nothing still shows everything.
    }
    super.set(value);
  }
}

function read<T>(name: string, initial: T): T {
  try {
    const text = localStorage.getItem(name);
    return text === null ? initial : (JSON.parse(text) as T);
  } catch {
    return initial;
  }
}
