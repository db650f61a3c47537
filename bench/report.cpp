#include "bench/report.h"

#include <algorithm>
#include <fstream>
#include <iterator>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include <sinter/error.h>

namespace sinter::bench {

namespace {

using nlohmann::ordered_json;

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

double rounded(double value, int digits) {
  return std::stod(fmt::format("{:.{}f}", value, digits));
}

void print_rates(const Rates& rates, int cores) {
  fmt::print("{} core{}: {:.1f} GFLOP/s from registers, {:.1f} with loads; {:.1f} G operations/s\n",
             cores, cores == 1 ? "" : "s", rates.fma_registers * 2e-9, rates.fma_loads * 2e-9,
             rates.any_op * 1e-9);
  for (size_t i = 0; i < kLevels; ++i) {
    const Bandwidth& b = rates.bandwidth[i];
    fmt::print("  {:4} GB/s: read {:6.1f}  write {:6.1f}  read-modify-write {:6.1f}\n",
               kLevelNames[i], b.read * 1e-9, b.write * 1e-9, b.rmw * 1e-9);
  }
}

ordered_json json_of(const Rates& rates) {
  ordered_json out = {{"gflops_registers", rounded(rates.fma_registers * 2e-9, 1)},
                      {"gflops_loads", rounded(rates.fma_loads * 2e-9, 1)},
                      {"gops", rounded(rates.any_op * 1e-9, 1)}};
  for (size_t i = 0; i < kLevels; ++i) {
    const Bandwidth& b = rates.bandwidth[i];
    out[std::string(kLevelNames[i]) + "_gbs"] = {{"read", rounded(b.read * 1e-9, 1)},
                                                 {"write", rounded(b.write * 1e-9, 1)},
                                                 {"rmw", rounded(b.rmw * 1e-9, 1)}};
  }
  return out;
}

}  // namespace

std::vector<std::string> Report::impossible() const {
  std::vector<std::string> out;
  for (const Timed& t : timed) {
    if (t.timing.min() < floor_of(t.work, limits).seconds * 1e6) out.push_back(t.key);
  }
  return out;
}

void Report::print() const {
  fmt::print("{}, {} cores used, {}\n", cpu_name(), limits.cores, limits.isa);
  print_rates(limits.one, 1);
  if (limits.cores > 1) {
    print_rates(limits.all, limits.cores);
    fmt::print("barrier: {:.0f} ns\n", limits.barrier * 1e9);
  }
  if (!timed.empty()) {
    fmt::print("\n{:16} {:>10} {:>10} {:>10} {:>8}  {}\n", "us per step", "median", "min", "floor",
               "% of it", "floor set by");
  }
  for (const Timed& t : timed) {
    const Floor floor = floor_of(t.work, limits);
    const double us = floor.seconds * 1e6;
    fmt::print("{:16} {:10.3f} {:10.3f} {:10.3f} {:8.1f}  {}{}\n", t.key, t.timing.median(),
               t.timing.min(), us, 100 * us / t.timing.median(), floor.bound,
               t.timing.min() < us ? "  FASTER THAN THE FLOOR: the bench is wrong" : "");
  }
  if (!first_step.empty()) fmt::print("\n{:20} {:>8} {:>8}\n", "", "median", "min");
  for (const auto& [key, t] : first_step) {
    fmt::print("{:20} {:8.1f} {:8.1f}\n", key, t.median(), t.min());
  }
}

void Report::write_json(const std::string& path) const {
  ordered_json out;
  out["machine"] = {{"cpu", cpu_name()}, {"cores", limits.cores}, {"isa", limits.isa}};
  out["blocks"] = blocks;
  out["threads"] = threads;
  out["limits"] = {{"one_core", json_of(limits.one)},
                   {"all_cores", json_of(limits.all)},
                   {"barrier_ns", rounded(limits.barrier * 1e9, 1)}};
  ordered_json& entries = out["workloads"] = ordered_json::object();
  for (const Timed& t : timed) {
    const Floor floor = floor_of(t.work, limits);
    entries[t.key] = {{"us_median", rounded(t.timing.median(), 4)},
                      {"us_min", rounded(t.timing.min(), 4)},
                      {"floor_us", rounded(floor.seconds * 1e6, 4)},
                      {"percent_of_floor", rounded(floor.seconds * 1e8 / t.timing.median(), 1)},
                      {"floor_bound", floor.bound},
                      {"flop", 2 * t.work.fmas},
                      {"bytes", t.work.read_bytes + t.work.rmw_bytes}};
  }
  for (const auto& [key, t] : first_step) {
    out["first_step"][key] = {{"ms_median", rounded(t.median(), 2)},
                              {"ms_min", rounded(t.min(), 2)}};
  }
  std::ofstream file(path);
  file << out.dump(1) << "\n";
  if (!file.flush()) throw Error("cannot write {}", path).help("check the folder and its space");
}

}  // namespace sinter::bench
