#include "compiler/forms/cost.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "compiler/forms/batch_form.h"
#include "compiler/forms/kernel.h"
#include "ir/op.h"

namespace sinter::compiler {

using ir::Dim;
using ir::Func;
using ir::Module;
using ir::Op;
using ir::ValueId;

namespace {

// A core of 3 GHz with vectors of 8 floats, two multiply-adds or operations a cycle. Other
// processors differ by a factor that is about the same for all kernels, and what is chosen by these
// numbers must not depend on where a program was compiled.
constexpr double lanes = 8, per_us = 48e3;
constexpr double call_us = 0.05;

// Bytes a microsecond where so many bytes fit.
struct Level {
  double size, rate;
};
constexpr Level memory[] = {{32 << 10, 200e3}, {1 << 20, 100e3}, {32 << 20, 25e3}, {1e300, 12e3}};

double elements(const ir::Shape& shape, int64_t n) {
  double out = 1;
  for (const Dim& d : shape) out *= static_cast<double>(d.at(n));
  return out;
}

// What the domain takes when its rows are computed in whole vectors.
double padded_elements(const ir::Shape& domain, int64_t n) {
  if (domain.empty()) return 1;
  const double columns = static_cast<double>(domain.back().at(n));
  return elements(domain, n) / std::max(columns, 1.0) * std::ceil(columns / lanes) * lanes;
}

// Every buffer that the kernel touches, once.
double touched_bytes(const Func& func, const StoredValues& values, const Op& kernel, int64_t n) {
  const TouchedValues touched = touched_values(func, values, kernel);
  double out = 0;
  for (const std::set<ValueId>* buffers : {&touched.reads, &touched.writes}) {
    for (ValueId v : *buffers) {
      const ir::Type& type = func.type(v);
      out += elements(type.shape, n) * static_cast<double>(dtype_size(type.dtype));
    }
  }
  return out;
}

void count_work(const Func& func, const KernelForm& form, int64_t n, KernelCost& cost) {
  const double domain = padded_elements(form.domain, n);
  for (const KernelOp& k : form.ops) {
    if (k.role == Role::contraction) {
      cost.multiply_adds += contraction_depth(func, *k.op, n) * domain;
    } else if (k.role == Role::scatter_add || k.role == Role::line) {
      cost.operations += elements(func.type(k.op->operands[0]).shape, n);
    } else if (k.role == Role::row_reduce || k.role == Role::col_reduce) {
      cost.operations += domain;
    } else if (k.role == Role::elementwise) {
      double count = 1;
      for (size_t axis = 0; axis < form.domain.size(); ++axis) {
        if (k.varies & (1u << axis)) count *= static_cast<double>(form.domain[axis].at(n));
      }
      cost.operations += count * element_operations(func, *k.op);
    }
  }
}

}  // namespace

double element_operations(const Func& func, const Op& op) {
  double cost = 0;
  for (const ir::ScalarNode& node : ir::scalar_program(func, op).nodes) {
    switch (node.prim) {
      case ir::Prim::operand:
      case ir::Prim::constant:
      case ir::Prim::index:
      case ir::Prim::linear_index:
      case ir::Prim::rows:
        break;
      case ir::Prim::exp:
        cost += 18;
        break;
      case ir::Prim::log:
        cost += 28;
        break;
      case ir::Prim::tanh:
        cost += 28;
        break;
      default:
        cost += 1;
    }
  }
  return cost;
}

KernelCost kernel_cost(const Module& module, const Func& func, const StoredValues& values,
                       const Op& kernel, int64_t n) {
  KernelCost cost;
  if (batch_in_lanes(kernel)) {
    cost.operations = batch_form(func, kernel).row_ops * static_cast<double>(n);
  } else {
    const KernelForm form = kernel_form(module, func, kernel);
    cost.serial = form.serial();
    count_work(func, form, n, cost);
  }
  cost.bytes = touched_bytes(func, values, kernel, n);
  const Level* level = std::begin(memory);
  while (cost.bytes > level->size) ++level;
  const std::pair<double, std::string_view> times[] = {
      {cost.multiply_adds / per_us, KernelCost::by_multiply_adds},
      {cost.operations / per_us, "operations"},
      {cost.bytes / level->rate, "memory"}};
  const auto longest = std::max_element(std::begin(times), std::end(times));
  // Products and what follows them share the core; memory is read meanwhile.
  cost.us = std::max(times[0].first + times[1].first, times[2].first) + call_us;
  cost.bound = longest->second;
  return cost;
}

std::string to_string(const KernelCost& cost) {
  const auto count = [](double v) {
    if (v >= 1e6) return fmt::format("{:.3g} M", v * 1e-6);
    if (v >= 1e3) return fmt::format("{:.3g} K", v * 1e-3);
    return fmt::format("{:.0f}", v);
  };
  std::string work;
  if (cost.multiply_adds > 0) work += count(cost.multiply_adds) + " multiply-adds, ";
  if (cost.operations > 0) work += count(cost.operations) + " operations, ";
  return fmt::format("{:.3g} us expected on one core, by {}: {}{} bytes", cost.us, cost.bound, work,
                     count(cost.bytes));
}

}  // namespace sinter::compiler
