// What a model takes, by kind of data: a module with begin(page) each, and nothing else of the page knows the kinds
// (but golden.js, which reads the raw samples of each).
//
// begin({spec, samples, input, actions, predict}) fills the two places and calls predict(Float32Array), which answers
// with the outputs.

import * as clip from "./clip.js";
import * as table from "./form.js";
import * as image from "./picture.js";
import * as series from "./series.js";
import * as sound from "./sound.js";

export const KINDS = { image, table, series, sound, clip };
