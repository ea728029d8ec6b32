// What a model takes, by kind of data: a module with begin(page) each, and nothing else of the page knows the kinds
// (but golden.js, which reads the raw samples of each).
//
// begin({spec, samples, input, actions, predict}) fills the two places and calls predict(Float32Array) for an answer.

import * as image from "./picture.js";
import * as table from "./form.js";

export const KINDS = { image, table };
