// A race is a trainer like any other: its net is the net once for each lane, with other weights;
// its loss is the sum of the lanes' losses, so that the gradient of each weight is that of its own
// lane; and its optimizer is that of each lane in turn.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <sinter/error.h>
#include <sinter/race.h>

#include "frontend/recording.h"

namespace sinter {

namespace {

using StandIns = std::map<const void*, nn::Parameter>;

// The modules of a net under their names, with copies of their parameters.
class Mirror : public nn::Module {
 public:
  Mirror(const nn::Module& of, StandIns& stand_ins)
      : class_name_(of.class_name()), extra_(of.extra()) {
    for (const nn::Parameter& p : of.parameters()) {
      // Those of its parts, and a weight that another part has already.
      if (p.name().find('.') != std::string::npos || stand_ins.count(p.identity())) continue;
      nn::Parameter mine = add_parameter(p.name(), p.value());
      mine.set_requires_grad(p.requires_grad());
      stand_ins.emplace(p.identity(), mine);
    }
    for (const Child& child : of.children()) {
      parts_.push_back(std::make_unique<Mirror>(*child.module, stand_ins));
      add(child.name, *parts_.back());
    }
  }

  Value forward(Value x) override { return x; }
  std::string class_name() const override { return class_name_; }
  std::string extra() const override { return extra_; }

 private:
  std::string class_name_, extra_;
  std::vector<std::unique_ptr<Mirror>> parts_;
};

// The net's forward() with the parameters of a lane.
class LaneNet : public Mirror {
 public:
  explicit LaneNet(const nn::Module& net) : LaneNet(net, StandIns{}) {}

  Value forward(Value x) override {
    nn::Module* const net = *net_;
    if (net == nullptr) {
      throw Error("the net of this race is gone").help("keep the net alive as long as its race");
    }
    const Exchange here(detail::Recorder::resolve(x).first, *net, stand_ins_);
    return net->forward(x);
  }

 private:
  // While it lives, the frame is the net's own, so that its parts are called by their names, and
  // its parameters are those of the lane.
  class Exchange {
   public:
    Exchange(std::shared_ptr<detail::Recording> recording, const nn::Module& net,
             const StandIns& stand_ins)
        : recording_(std::move(recording)),
          module_(std::exchange(recording_->frame().module, &net)),
          outer_(std::exchange(recording_->stand_ins, &stand_ins)) {}
    ~Exchange() {
      const auto recording = detail::root(recording_);
      recording->frame().module = module_;
      recording->stand_ins = outer_;
    }
    Exchange(const Exchange&) = delete;
    Exchange& operator=(const Exchange&) = delete;

   private:
    std::shared_ptr<detail::Recording> recording_;
    const nn::Module* module_;
    const StandIns* outer_;
  };

  LaneNet(const nn::Module& net, StandIns stand_ins) : Mirror(net, stand_ins), net_(net.track()) {
    stand_ins_ = std::move(stand_ins);
  }

  StandIns stand_ins_;
  std::shared_ptr<nn::Module* const> net_;
};

class Lanes : public nn::Module {
 public:
  Lanes(const nn::Module& net, const std::vector<Lane>& lanes) {
    for (const Lane& lane : lanes) {
      nets.push_back(std::make_unique<LaneNet>(net));
      add(lane.name, *nets.back());
    }
  }

  Value forward(Value x) override {
    const detail::LibraryCall here(x);
    predictions.clear();
    for (const auto& net : nets) predictions.push_back((*net)(x));
    return predictions.front();
  }

  std::vector<std::unique_ptr<LaneNet>> nets;
  // What the lanes gave in the recording that is going on.
  std::vector<Value> predictions, losses;
};

void check_names(const std::vector<Lane>& lanes, const std::source_location& at) {
  const auto is_name_character = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-';
  };
  if (lanes.empty()) {
    throw Error("a race without lanes")
        .at(SourceLoc::from(at))
        .help("list names and optimizers, as in {{{{\"Adam\", optim::Adam{{}}}}}}");
  }
  for (size_t i = 0; i < lanes.size(); ++i) {
    const std::string& name = lanes[i].name;
    if (name.empty() || !std::all_of(name.begin(), name.end(), is_name_character)) {
      throw Error("a lane cannot be named \"{}\"", name)
          .at(SourceLoc::from(at))
          .help("use letters, digits, '_' and '-'");
    }
    for (size_t k = 0; k < i; ++k) {
      if (lanes[k].name == name) {
        throw Error("two lanes are named {}", name)
            .at(SourceLoc::from(at))
            .help("give each lane a name of its own");
      }
    }
  }
}

// Each lane's optimizer on the lane's parameters, under the names that they have in the net.
struct LaneOptimizers {
  static constexpr std::string_view name = "lanes";
  std::vector<Lane> lanes;

  void update(optim::Step& step) const {
    for (const Lane& lane : lanes) {
      lane.optimizer.update(step.in_group(lane.name).in_module(lane.name));
    }
  }
};

Objective total_loss(Lanes& lanes, Objective loss, const std::source_location& at) {
  return [&lanes, loss = std::move(loss), at](Value, Value y) {
    lanes.losses.clear();
    for (const Value& prediction : lanes.predictions) {
      lanes.losses.push_back(loss(prediction, y, at));
    }
    Value total = lanes.losses.front();
    for (size_t i = 1; i < lanes.losses.size(); ++i) {
      total = Operand(total, at) + lanes.losses[i];
    }
    return total;
  };
}

// For each lane its loss, then the metrics.
std::vector<Metric> lane_metrics(Lanes& lanes, const std::vector<Lane>& list,
                                 const std::vector<Metric>& metrics,
                                 const std::source_location& at) {
  std::vector<Metric> out;
  for (size_t i = 0; i < list.size(); ++i) {
    out.push_back({list[i].name + ".loss", [&lanes, i](Value, Value) { return lanes.losses[i]; }});
    for (const Metric& m : metrics) {
      out.push_back({list[i].name + "." + m.name, [&lanes, i, m, at](Value, Value y) {
                       return m.compute(lanes.predictions[i], y, at);
                     }});
    }
  }
  return out;
}

}  // namespace

struct Race::Impl {
  std::vector<Lane> list;
  Lanes lanes;
  size_t metrics_each;
  Objective loss;
  TrainerOptions options;
  Trainer trainer;
  std::vector<std::vector<float>> losses;  // of each lane, of all mini-batches
  std::vector<float> last;
  std::vector<std::optional<Trainer>> predictors;

  Impl(nn::Module& net, Objective l, std::vector<Lane> lane_list, TrainerOptions o,
       const std::source_location& at)
      : list((check_names(lane_list, at), std::move(lane_list))),
        lanes(net, list),
        metrics_each(o.metrics.size() + 1),
        loss(std::move(l)),
        options(std::move(o)),
        trainer(lanes, total_loss(lanes, loss, at), LaneOptimizers{list}, with_lane_metrics(at),
                at),
        losses(list.size()),
        last(list.size()),
        predictors(list.size()) {}

  TrainerOptions with_lane_metrics(const std::source_location& at) {
    TrainerOptions out = options;
    out.metrics = lane_metrics(lanes, list, options.metrics, at);
    return out;
  }

  size_t index_of(const std::string& name) const {
    std::vector<std::string> names;
    for (size_t i = 0; i < list.size(); ++i) {
      if (list[i].name == name) return i;
      names.push_back(list[i].name);
    }
    throw Error("no lane is named {}", name).help("the lanes are {}", fmt::join(names, ", "));
  }

  // Takes over what the last call of the trainer gave.
  void collect(size_t batches) {
    for (size_t i = 0; i < list.size(); ++i) {
      for (size_t k = 0; k < batches; ++k) {
        last[i] = static_cast<float>(trainer.metric(i * metrics_each, k));
        losses[i].push_back(last[i]);
      }
    }
  }
};

Race::Race(nn::Module& net, Objective loss, std::vector<Lane> lanes, TrainerOptions options,
           const std::source_location& at)
    : impl_(
          std::make_unique<Impl>(net, std::move(loss), std::move(lanes), std::move(options), at)) {}
Race::Race(Race&&) noexcept = default;
Race& Race::operator=(Race&&) noexcept = default;
Race::~Race() = default;

std::span<const float> Race::step(const Tensor& x, const Tensor& y,
                                  const std::source_location& at) {
  impl_->trainer.step(x, y, at);
  impl_->collect(1);
  return impl_->last;
}

void Race::steps(const Tensor& x, const Tensor& y, StepsOptions options,
                 const std::source_location& at) {
  impl_->trainer.steps(x, y, options, at);
  impl_->collect(impl_->trainer.losses().size());
}

std::vector<std::string> Race::names() const {
  std::vector<std::string> out;
  for (const Lane& lane : impl_->list) out.push_back(lane.name);
  return out;
}

const std::vector<float>& Race::losses(const std::string& lane) const {
  return impl_->losses[impl_->index_of(lane)];
}

std::vector<Race::Place> Race::ranking(int64_t batches) const {
  std::vector<Place> out;
  for (size_t i = 0; i < impl_->list.size(); ++i) {
    const std::vector<float>& all = impl_->losses[i];
    const auto seen = static_cast<int64_t>(all.size());
    const int64_t count = batches > 0 ? std::min(batches, seen) : seen;
    double total = 0;
    for (int64_t k = seen - count; k < seen; ++k) total += all[static_cast<size_t>(k)];
    out.push_back({impl_->list[i].name, total / static_cast<double>(count)});
  }
  std::stable_sort(out.begin(), out.end(), [](const Place& a, const Place& b) {
    return !std::isnan(a.loss) && (std::isnan(b.loss) || a.loss < b.loss);
  });
  return out;
}

void Race::save_csv(const std::string& path) const {
  std::ofstream file(path);
  file << fmt::format("step,{}\n", fmt::join(names(), ","));
  for (size_t k = 0; k < impl_->losses[0].size(); ++k) {
    file << k;
    for (const std::vector<float>& lane : impl_->losses) file << fmt::format(",{}", lane[k]);
    file << '\n';
  }
  file.close();
  if (!file) throw Error("cannot write {}", path).help("name a file in a folder that exists");
}

nn::Module& Race::net(const std::string& lane) { return *impl_->lanes.nets[impl_->index_of(lane)]; }

Tensor Race::predict(const std::string& lane, const Tensor& x, const std::source_location& at) {
  Impl& m = *impl_;
  const size_t i = m.index_of(lane);
  if (!m.predictors[i]) {
    TrainerOptions options = m.options;
    options.metrics.clear();
    m.predictors[i].emplace(*m.lanes.nets[i], m.loss, m.list[i].optimizer, std::move(options), at);
  }
  return m.predictors[i]->predict(x, at);
}

History fit(Race& race, DataLoader& loader, FitOptions options, const std::source_location& at) {
  struct Collect final : Callback {
    explicit Collect(Race::Impl& r) : race(r) {}
    void on_batch_end(Fit&) override { race.collect(1); }
    Race::Impl& race;
  };
  options.callbacks.insert(options.callbacks.begin(), Collect(*race.impl_));
  return fit(race.trainer(), loader, std::move(options), at);
}

Trainer& Race::trainer() { return impl_->trainer; }
int Race::compile_count() const { return impl_->trainer.compile_count(); }

}  // namespace sinter
