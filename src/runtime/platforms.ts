import type * as node from './node.ts';
import type { Runtime } from './types.ts';
import type * as web from './web.ts';
import type * as workerd from './workerd.ts';

type Checked<T extends Runtime> = T;

/** What `#runtime` may be; the compiler names what one of them lacks. */
export type Platform = Checked<typeof node> | Checked<typeof web> | Checked<typeof workerd>;
