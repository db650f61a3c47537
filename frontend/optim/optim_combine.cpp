#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fnmatch.h>

#include <sinter/error.h>
#include <sinter/functions.h>
#include <sinter/optim_combine.h>

namespace sinter::optim {

ClipNorm clip_norm(double max_norm, Optimizer inner) { return {max_norm, std::move(inner)}; }

void ClipNorm::update(Step& step) const {
  const Value limit = step.hyper("max_norm", max_norm);
  Value squares;
  std::vector<Trained> clipped = step.parameters();
  for (size_t i = 0; i < clipped.size(); ++i) {
    const Value square = sum(clipped[i].gradient * clipped[i].gradient);
    squares = i == 0 ? square : squares + square;
  }
  if (!clipped.empty()) {
    // A NaN in the norm reaches every gradient: minimum passes it on.
    const Value scale = minimum(limit / (sqrt(squares) + 1e-6), 1);
    for (Trained& p : clipped) p.gradient = p.gradient * scale;
  }
  inner.update(step.with(std::move(clipped)));
}

ClipValue clip_value(double max_value, Optimizer inner) { return {max_value, std::move(inner)}; }

void ClipValue::update(Step& step) const {
  const Value limit = step.hyper("max_value", max_value);
  std::vector<Trained> clipped = step.parameters();
  for (Trained& p : clipped) p.gradient = maximum(minimum(p.gradient, limit), -limit);
  inner.update(step.with(std::move(clipped)));
}

Accumulate accumulate(int64_t batches, Optimizer inner, Accumulate::Loss loss) {
  if (batches < 1) {
    throw Error("an update after {} mini-batches", batches).help("accumulate over at least 1");
  }
  return {batches, std::move(inner), loss};
}

void Accumulate::update(Step& step) const {
  const Value wanted = step.hyper("accumulate", static_cast<double>(batches));
  const Value count = step.scalar_state("count", 0), count_now = count + 1;
  const Value due = greater_equal(count_now, wanted);
  const auto gather = [&](const Value& total, const Value& more) {
    const Value now = total + more;
    step.assign(total, where(due, 0, now));
    return now;
  };
  step.assign(count, where(due, 0, count_now));
  std::vector<Trained> gathered = step.parameters();
  if (loss == Loss::mean) {
    const Value n = step.rows(), rows = gather(step.scalar_state("rows", 0), n);
    for (Trained& p : gathered)
      p.gradient = gather(step.state("gradient", p), n * p.gradient) / rows;
  } else {
    for (Trained& p : gathered) p.gradient = gather(step.state("gradient", p), p.gradient);
  }
  inner.update(step.only_if(due).with(std::move(gathered)));
}

namespace {

bool names(const Group& group, const std::string& parameter) {
  return std::any_of(group.parameters.begin(), group.parameters.end(), [&](const std::string& p) {
    const bool path = parameter.compare(0, p.size(), p) == 0 &&
                      (parameter.size() == p.size() || parameter[p.size()] == '.');
    return path || fnmatch(p.c_str(), parameter.c_str(), 0) == 0;
  });
}

}  // namespace

Groups::Groups(std::vector<Group> groups) : groups_(std::move(groups)) {
  for (size_t i = 0; i < groups_.size(); ++i) {
    for (size_t k = 0; k < i; ++k) {
      if (groups_[i].name == groups_[k].name) {
        throw Error("two groups of parameters are named {}", groups_[i].name)
            .help("give each a name of its own: its hyper-parameters are known by it");
      }
    }
  }
}

// groups_.size() if there is none.
size_t Groups::group_of(const std::string& parameter) const {
  const auto it = std::find_if(groups_.begin(), groups_.end(),
                               [&](const Group& g) { return names(g, parameter); });
  return static_cast<size_t>(it - groups_.begin());
}

void Groups::update(Step& step) const {
  const std::vector<std::string> all = step.all_names();
  for (const Group& group : groups_) {
    if (std::none_of(all.begin(), all.end(),
                     [&](const auto& name) { return names(group, name); })) {
      throw Error("the group {} names no parameter: {}", group.name,
                  fmt::join(group.parameters, ", "))
          .help("the parameters of the net are {}", fmt::join(all, ", "));
    }
  }
  std::vector<std::vector<Trained>> members(groups_.size());
  for (const Trained& p : step.parameters()) {
    const size_t i = group_of(p.name);
    if (i == groups_.size()) {
      throw Error("the parameter {} is in no group", p.name)
          .help(
              "end with a group for all others, as in {{\"rest\", {{\"*\"}}, optim::SGD{{}}}}, or "
              "freeze it");
    }
    members[i].push_back(p);
  }
  for (size_t i = 0; i < groups_.size(); ++i) {
    groups_[i].optimizer.update(step.in_group(groups_[i].name).with(std::move(members[i])));
  }
}

}  // namespace sinter::optim
