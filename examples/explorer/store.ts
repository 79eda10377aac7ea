// A value that several elements show: each is drawn again when it changes.
import type { ReactiveController, ReactiveControllerHost } from 'lit';

export class Store<T> {
  readonly #hosts = new Set<ReactiveControllerHost>();
  #value: T;

  constructor(value: T) {
    this.#value = value;
  }

  get value(): T {
    return this.#value;
  }

  set value(value: T) {
    this.#value = value;
    for (const host of this.#hosts) host.requestUpdate();
  }

  /** Draws an element again whenever the value changes, for as long as it is in the page. */
  watch(host: ReactiveControllerHost): this {
    const controller: ReactiveController = {
      hostConnected: () => this.#hosts.add(host),
      hostDisconnected: () => this.#hosts.delete(host),
    };
    host.addController(controller);
    return this;
  }
}
