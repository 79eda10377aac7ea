// Everything that needs the engine and the schedule, which model.ts waits for.
import { LitElement } from 'lit';
import { ComparePanel } from './comparePanel.ts';
import { EditPanel } from './editPanel.ts';
import { ForwardPanel } from './forwardPanel.ts';
import { InpaintTool } from './inpaintTool.ts';
import { InterpolateTool } from './interpolateTool.ts';
import { InvertTool } from './invertTool.ts';
import { LossPanel } from './lossPanel.ts';
import { loading } from './model.ts';
import { DrawingPad } from './pad.ts';
import { PicturesPanel } from './picturesPanel.ts';
import { PlotView } from './plot.ts';
import { ReversePanel } from './reversePanel.ts';
import { SamplePanel } from './samplePanel.ts';

/** What the network runs on. */
class ModelLine extends LitElement {
  readonly #loading = loading.watch(this);

  protected override createRenderRoot() {
    this.replaceChildren();
    return this;
  }

  protected override render() {
    return this.#loading.value;
  }
}

const elements = {
  'model-line': ModelLine,
  'sample-panel': SamplePanel,
  'reverse-panel': ReversePanel,
  'compare-panel': ComparePanel,
  'pictures-panel': PicturesPanel,
  'forward-panel': ForwardPanel,
  'edit-panel': EditPanel,
  'invert-tool': InvertTool,
  'inpaint-tool': InpaintTool,
  'interpolate-tool': InterpolateTool,
  'loss-panel': LossPanel,
  'plot-view': PlotView,
  'drawing-pad': DrawingPad,
};

/** Brings the elements in index.html to life. */
export function start(): void {
  for (const [name, element] of Object.entries(elements)) customElements.define(name, element);
}
