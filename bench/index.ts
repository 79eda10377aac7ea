// Prints what the README promises, each figure checked before it is timed. Run it with: npm run bench
import { serverColdStart } from './coldStart.ts';
import { evaluationFigures } from './evaluate.ts';
import { type Figure, printFigures } from './figure.ts';
import { inversionFigures } from './inversion.ts';
import { kernelFigures } from './kernels.ts';
import { printQuality } from './quality.ts';
import { coldStart, loopOverhead } from './run.ts';

const figures: Figure[] = [
  ...kernelFigures(),
  ...(await loopOverhead()),
  ...(await evaluationFigures()),
  ...coldStart(),
  ...(await serverColdStart()),
  ...(await inversionFigures()),
];
printFigures(figures);
await printQuality({ seconds: 60 });
