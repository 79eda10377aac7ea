/** Label names and values, in order. */
type Labels = Readonly<Record<string, string | number>>;

/** Upper bounds of the buckets of durations, seconds. */
const buckets = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/**
 * Counts in the text format of Prometheus, version 0.0.4. Written here because prom-client loads node:cluster and others,
 * and a handler runs anywhere.
 */
export class Metrics {
  readonly #parts: { text(): string[] }[] = [];

  /** A number that only grows. */
  counter(name: string, help: string): (labels?: Labels, by?: number) => void {
    const values = new Map<string, number>();
    this.#add(name, help, 'counter', () => [...values].map(([labels, value]) => `${name}${labels} ${value}`));
    return (labels = {}, by = 1) => {
      const key = labelText(labels);
      values.set(key, (values.get(key) ?? 0) + by);
    };
  }

  /** A number as it is when it is asked for. */
  gauge(name: string, help: string, read: () => number): void {
    this.#add(name, help, 'gauge', () => [`${name} ${read()}`]);
  }

  /** Durations in seconds. */
  histogram(name: string, help: string): (seconds: number) => void {
    const counts = new Array<number>(buckets.length).fill(0);
    let [sum, count] = [0, 0];
    this.#add(name, help, 'histogram', () => [
      ...buckets.map((bound, i) => `${name}_bucket{le="${bound}"} ${counts[i]}`),
      `${name}_bucket{le="+Inf"} ${count}`,
      `${name}_sum ${sum}`,
      `${name}_count ${count}`,
    ]);
    return (seconds) => {
      for (const [i, bound] of buckets.entries()) if (seconds <= bound) counts[i]++;
      sum += seconds;
      count++;
    };
  }

  /** All of it, as a scraper reads it. */
  text(): string {
    return `${this.#parts.flatMap((part) => part.text()).join('\n')}\n`;
  }

  #add(name: string, help: string, type: string, lines: () => string[]): void {
    this.#parts.push({ text: () => [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines()] });
  }
}

function labelText(labels: Labels): string {
  const parts = Object.entries(labels).map(([name, value]) => `${name}="${escaped(String(value))}"`);
  return parts.length > 0 ? `{${parts.join(',')}}` : '';
}

function escaped(text: string): string {
  return text.replace(/[\\"\n]/g, (character) => (character === '\n' ? '\\n' : `\\${character}`));
}

/** What a server counts. */
export type ServerMetrics = ReturnType<typeof createServerMetrics>;

/** The metrics of a handler, and what counts them. */
export function createServerMetrics() {
  const metrics = new Metrics();
  const calls = metrics.counter('ddpm_network_calls_total', 'Network calls.');
  const callImages = metrics.counter('ddpm_network_images_total', 'Images of all network calls.');
  return {
    request: metrics.counter('ddpm_requests_total', 'Requests answered, by route and status.'),
    seconds: metrics.histogram('ddpm_samples_seconds', 'Seconds until images were there, waiting included.'),
    images: metrics.counter('ddpm_images_total', 'Images sampled, by sampler.'),
    call(images: number) {
      calls();
      callImages({}, images);
    },
    watch(gate: { readonly active: number; readonly waiting: number }) {
      metrics.gauge('ddpm_active_images', 'Images that are being sampled.', () => gate.active);
      metrics.gauge('ddpm_waiting_requests', 'Requests that wait for a place.', () => gate.waiting);
    },
    text: () => metrics.text(),
  };
}
