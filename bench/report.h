// What the bench found, as a table and as JSON.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "bench/machine/limits.h"
#include "bench/workloads.h"

namespace sinter::bench {

struct Report {
  Limits limits;
  int blocks = 0;
  int threads = 0;
  std::vector<Timed> timed;
  std::map<std::string, Timing> first_step;  // milliseconds, "W1/first_step_ms"

  // Keys of steps that seem faster than the machine can be: the bench is wrong.
  std::vector<std::string> impossible() const;
  void print() const;
  void write_json(const std::string& path) const;
};

}  // namespace sinter::bench
