// The text form of the IR (.sir): prints at every stage and parses back to an equal module.
//
//   // comments run to the end of the line
//   global @hidden.weight : f32[10, 1]
//
//   func @train_step(%x: f32[n, 1], %y: f32[n, 1], %lr: f32[]) {
//     %hidden = linear %x, @hidden.weight, @hidden.bias : f32[n, 10] loc("regression.cpp":14,
//     "hidden") %1 = sum %hidden {axes = [0, 1], keepdims = true} : f32[1, 1] kernel {name =
//     "linear_relu"} -> (%a at 0, %b at 4096) {
//       ...
//     }
//     barrier
//     assign @hidden.weight, %w
//     return %loss
//   }
//
// A planned function says so: `func @f(...) max_batch 128 arena 5120 {`. Attributes come in schema
// order, those with their default value are left out; floats print in the shortest form that reads
// back exactly; values without a name are numbered in order of definition; `loc` is left out where
// it is unknown, its scope where it is empty. Notes print as comments and are not part of the text.
#pragma once

#include <string>
#include <string_view>

#include "ir/graph.h"

namespace sinter::ir {

std::string print(const Module& module);
std::string print(const Module& module, const Func& func);
// One op on one line (a kernel on several), for messages.
std::string print_op(const Module& module, const Func& func, const Op& op);

// Throws Error at `file`:line with the column in the message; the module returned is verified.
Module parse(std::string_view text, const std::string& file = "<text>");
Module parse_file(const std::string& path);

}  // namespace sinter::ir
