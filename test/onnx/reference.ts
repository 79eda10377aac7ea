/**
 * diffusers' UNet2DModel in plain loops over float64: slow, and written from the description of the network alone, so
 * that it shares nothing with the graphs that it checks. It reads the config as the file has it, all keys given.
 *
 * The sinusoidal embeddings round to float32 where torch does: a timestep multiplies the rounding of a frequency.
 */
export interface ReferenceConfig {
  sample_size: [number, number];
  in_channels: number;
  out_channels: number;
  center_input_sample: boolean;
  time_embedding_type: string;
  time_embedding_dim: number | null;
  freq_shift: number;
  flip_sin_to_cos: boolean;
  down_block_types: string[];
  mid_block_type: string | null;
  up_block_types: string[];
  block_out_channels: number[];
  layers_per_block: number;
  mid_block_scale_factor: number;
  downsample_padding: number;
  downsample_type: string;
  upsample_type: string;
  act_fn: string;
  attention_head_dim: number | null;
  norm_num_groups: number;
  attn_norm_num_groups: number | null;
  norm_eps: number;
  resnet_time_scale_shift: string;
  add_attention: boolean;
  class_embed_type: string | null;
  num_class_embeds: number | null;
  num_train_timesteps: number | null;
}

/** The parameter of a name and shape. */
export type Weights = (name: string, shape: number[]) => ArrayLike<number>;

interface Image {
  c: number;
  h: number;
  w: number;
  data: Float64Array;
}

/** The prediction for one image [C, H, W]. */
export function referenceUNet(
  config: ReferenceConfig,
  weights: Weights,
  sample: ArrayLike<number>,
  timestep: number,
  label?: number,
): Float64Array {
  const net = new Network(config, weights);
  return net.predict(sample, timestep, label);
}

class Network {
  private embedding: Float64Array = new Float64Array();

  constructor(
    private readonly config: ReferenceConfig,
    private readonly weights: Weights,
  ) {}

  predict(sample: ArrayLike<number>, timestep: number, label?: number): Float64Array {
    const { config } = this;
    const channels = config.block_out_channels;
    const [h, w] = config.sample_size;
    this.embedding = this.embed(timestep, label).map(activation(config.act_fn));

    const data = Float64Array.from(sample, (v) => (config.center_input_sample ? 2 * v - 1 : v));
    let x = this.conv('conv_in', { c: config.in_channels, h, w, data }, channels[0]);
    const skips = [x];
    channels.forEach((c, i) => {
      const type = config.down_block_types[i];
      for (let j = 0; j < config.layers_per_block; j++) {
        x = this.resnet(`down_blocks.${i}.resnets.${j}`, x, c);
        if (type === 'AttnDownBlock2D') x = this.attention(`down_blocks.${i}.attentions.${j}`, x);
        skips.push(x);
      }
      if (i === channels.length - 1) return;
      const resnet =
        type === 'ResnetDownsampleBlock2D' || (type === 'AttnDownBlock2D' && config.downsample_type === 'resnet');
      if (resnet) x = this.resnet(`down_blocks.${i}.downsamplers.0`, x, c, 1, halve);
      else x = this.conv(`down_blocks.${i}.downsamplers.0.conv`, x, c, 3, 2, config.downsample_padding);
      skips.push(x);
    });

    if (config.mid_block_type) {
      const scale = config.mid_block_scale_factor;
      x = this.resnet('mid_block.resnets.0', x, x.c, scale);
      const fallback = config.resnet_time_scale_shift === 'default' ? config.norm_num_groups : null;
      const groups = config.attn_norm_num_groups ?? fallback;
      if (config.add_attention) x = this.attention('mid_block.attentions.0', x, groups, scale);
      x = this.resnet('mid_block.resnets.1', x, x.c, scale);
    }

    [...channels].reverse().forEach((c, i) => {
      const type = config.up_block_types[i];
      for (let j = 0; j < config.layers_per_block + 1; j++) {
        x = this.resnet(`up_blocks.${i}.resnets.${j}`, join(x, skips.pop() as Image), c);
        if (type === 'AttnUpBlock2D') x = this.attention(`up_blocks.${i}.attentions.${j}`, x);
      }
      if (i === channels.length - 1) return;
      const resnet =
        type === 'ResnetUpsampleBlock2D' || (type === 'AttnUpBlock2D' && config.upsample_type === 'resnet');
      if (resnet) x = this.resnet(`up_blocks.${i}.upsamplers.0`, x, c, 1, double);
      else x = this.conv(`up_blocks.${i}.upsamplers.0.conv`, double(x), c);
    });

    x = apply(this.norm('conv_norm_out', x, config.norm_num_groups), activation('silu'));
    const out = this.conv('conv_out', x, config.out_channels).data;
    return config.time_embedding_type === 'fourier' ? out.map((v) => v / timestep) : out;
  }

  private embed(timestep: number, label?: number): Float64Array {
    const { class_embed_type: type, num_class_embeds: count } = this.config;
    const time = this.mlp('time_embedding', this.project(timestep));
    if (type === null && count === null) return time;
    const row = label as number;
    const table = () => this.weights('class_embedding.weight', [count as number, time.length]);
    const other = type === 'timestep' ? this.mlp('class_embedding', this.project(row)) : table();
    const offset = type === 'timestep' ? 0 : row * time.length;
    return time.map((v, i) => v + other[offset + i]);
  }

  private project(t: number): number[] {
    const { config } = this;
    const width = config.block_out_channels[0];
    if (config.time_embedding_type === 'learned') {
      const table = this.weights('time_proj.weight', [config.num_train_timesteps as number, width]);
      return Array.from({ length: width }, (_, i) => table[t * width + i]);
    }
    const f = Math.fround;
    if (config.time_embedding_type === 'fourier') {
      const frequency = this.weights('time_proj.weight', [width]);
      const angle = Array.from({ length: width }, (_, i) => f(f(f(f(Math.log(t)) * frequency[i]) * 2) * f(Math.PI)));
      return [...angle.map(Math.sin), ...angle.map(Math.cos)];
    }
    const half = width >> 1;
    const angle = Array.from({ length: half }, (_, i) => {
      const exponent = f(f(f(-Math.log(10000)) * i) / f(half - config.freq_shift));
      return f(t * f(Math.exp(exponent)));
    });
    const [sin, cos] = [angle.map(Math.sin), angle.map(Math.cos)];
    const waves = config.flip_sin_to_cos ? [...cos, ...sin] : [...sin, ...cos];
    return width % 2 ? [...waves, 0] : waves;
  }

  private mlp(path: string, x: ArrayLike<number>): Float64Array {
    const width = this.config.time_embedding_dim ?? 4 * this.config.block_out_channels[0];
    const hidden = this.linear(`${path}.linear_1`, x, width).map(activation('silu'));
    return this.linear(`${path}.linear_2`, hidden, width);
  }

  private linear(path: string, x: ArrayLike<number>, outWidth: number): Float64Array {
    const weight = this.weights(`${path}.weight`, [outWidth, x.length]);
    const bias = this.weights(`${path}.bias`, [outWidth]);
    return Float64Array.from({ length: outWidth }, (_, o) => {
      let sum = bias[o];
      for (let i = 0; i < x.length; i++) sum += weight[o * x.length + i] * x[i];
      return sum;
    });
  }

  private conv(path: string, x: Image, c: number, kernel = 3, stride = 1, padding = (kernel - 1) / 2): Image {
    const weight = this.weights(`${path}.weight`, [c, x.c, kernel, kernel]);
    const bias = this.weights(`${path}.bias`, [c]);
    // stride 2 with padding 0: diffusers adds a row below and a column to the right first
    const [h, w] = [x.h / stride, x.w / stride];
    const data = new Float64Array(c * h * w);
    for (let o = 0; o < c; o++)
      for (let y = 0; y < h; y++)
        for (let z = 0; z < w; z++) {
          let sum = bias[o];
          for (let i = 0; i < x.c; i++)
            for (let ky = 0; ky < kernel; ky++)
              for (let kz = 0; kz < kernel; kz++) {
                const [sy, sz] = [y * stride + ky - padding, z * stride + kz - padding];
                if (sy < 0 || sz < 0 || sy >= x.h || sz >= x.w) continue;
                sum += weight[((o * x.c + i) * kernel + ky) * kernel + kz] * x.data[(i * x.h + sy) * x.w + sz];
              }
          data[(o * h + y) * w + z] = sum;
        }
    return { c, h, w, data };
  }

  private norm(path: string, x: Image, groups: number): Image {
    const weight = this.weights(`${path}.weight`, [x.c]);
    const bias = this.weights(`${path}.bias`, [x.c]);
    const pixels = x.h * x.w;
    const size = (x.c / groups) * pixels;
    const data = new Float64Array(x.data.length);
    for (let start = 0; start < data.length; start += size) {
      const part = x.data.subarray(start, start + size);
      const mean = part.reduce((a, b) => a + b) / size;
      const variance = part.reduce((a, b) => a + (b - mean) ** 2, 0) / size;
      for (let i = start; i < start + size; i++) {
        const c = Math.floor(i / pixels);
        data[i] = ((x.data[i] - mean) / Math.sqrt(variance + this.config.norm_eps)) * weight[c] + bias[c];
      }
    }
    return { ...x, data };
  }

  private resnet(path: string, x: Image, c: number, scale = 1, resize = (image: Image) => image): Image {
    const { norm_num_groups: groups, act_fn, resnet_time_scale_shift } = this.config;
    const pixels = (image: Image) => image.h * image.w;
    let h = apply(this.norm(`${path}.norm1`, x, groups), activation(act_fn));
    h = this.conv(`${path}.conv1`, resize(h), c);
    if (resnet_time_scale_shift === 'default') {
      const shift = this.linear(`${path}.time_emb_proj`, this.embedding, c);
      h = this.norm(
        `${path}.norm2`,
        apply(h, (v, i) => v + shift[Math.floor(i / pixels(h))]),
        groups,
      );
    } else {
      const both = this.linear(`${path}.time_emb_proj`, this.embedding, 2 * c);
      const channel = (i: number) => Math.floor(i / pixels(h));
      h = apply(this.norm(`${path}.norm2`, h, groups), (v, i) => v * (1 + both[channel(i)]) + both[c + channel(i)]);
    }
    h = this.conv(`${path}.conv2`, apply(h, activation(act_fn)), c);
    const same = resize(x);
    const skip = x.c === c ? same : this.conv(`${path}.conv_shortcut`, same, c, 1);
    return apply(h, (v, i) => (v + skip.data[i]) / scale);
  }

  private attention(path: string, x: Image, groups: number | null = this.config.norm_num_groups, scale = 1): Image {
    const headDim = this.config.attention_head_dim ?? x.c;
    const heads = Math.floor(x.c / headDim);
    const inner = heads * headDim;
    const pixels = x.h * x.w;
    const normal = groups === null ? x : this.norm(`${path}.group_norm`, x, groups);
    const rows = Array.from({ length: pixels }, (_, p) =>
      Array.from({ length: x.c }, (_, c) => normal.data[c * pixels + p]),
    );
    const [q, k, v] = ['to_q', 'to_k', 'to_v'].map((name) =>
      rows.map((row) => this.linear(`${path}.${name}`, row, inner)),
    );
    const data = Float64Array.from(x.data);
    for (let p = 0; p < pixels; p++) {
      const mixed = new Float64Array(inner);
      for (let head = 0; head < inner; head += headDim) {
        const logits = k.map((key) => {
          let dot = 0;
          for (let i = head; i < head + headDim; i++) dot += q[p][i] * key[i];
          return dot / Math.sqrt(headDim);
        });
        const top = Math.max(...logits);
        const weights = logits.map((l) => Math.exp(l - top));
        const total = weights.reduce((a, b) => a + b);
        for (let i = head; i < head + headDim; i++)
          mixed[i] = weights.reduce((sum, weight, other) => sum + (weight / total) * v[other][i], 0);
      }
      this.linear(`${path}.to_out.0`, mixed, x.c).forEach((value, c) => {
        data[c * pixels + p] = (data[c * pixels + p] + value) / scale;
      });
    }
    return { ...x, data };
  }
}

function activation(name: string): (x: number) => number {
  switch (name) {
    case 'silu':
    case 'swish':
      return (x) => x / (1 + Math.exp(-x));
    case 'mish':
      return (x) => x * Math.tanh(Math.log1p(Math.exp(x)));
    case 'gelu':
      return (x) => (x * (1 + erf(x / Math.SQRT2))) / 2;
    case 'relu':
      return (x) => Math.max(x, 0);
    default:
      throw new Error(`no activation ${name}`);
  }
}

// the series of Abramowitz and Stegun 7.1.6, which has no cancellation; past 6 it is 1 to double precision
function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

function apply(x: Image, f: (v: number, i: number) => number): Image {
  return { ...x, data: x.data.map((v, i) => f(v, i)) };
}

function join(x: Image, y: Image): Image {
  return { ...x, c: x.c + y.c, data: Float64Array.from([...x.data, ...y.data]) };
}

function halve(x: Image): Image {
  return resample(
    x,
    x.h / 2,
    x.w / 2,
    (at, y, z) => (at(2 * y, 2 * z) + at(2 * y + 1, 2 * z) + at(2 * y, 2 * z + 1) + at(2 * y + 1, 2 * z + 1)) / 4,
  );
}

function double(x: Image): Image {
  return resample(x, 2 * x.h, 2 * x.w, (at, y, z) => at(y >> 1, z >> 1));
}

function resample(
  x: Image,
  h: number,
  w: number,
  f: (at: (y: number, z: number) => number, y: number, z: number) => number,
): Image {
  const data = new Float64Array(x.c * h * w);
  for (let c = 0; c < x.c; c++)
    for (let y = 0; y < h; y++)
      for (let z = 0; z < w; z++) data[(c * h + y) * w + z] = f((sy, sz) => x.data[(c * x.h + sy) * x.w + sz], y, z);
  return { c: x.c, h, w, data };
}
