// The weights of a module as tensors by name, out and in.
#include <sinter/error.h>
#include <sinter/nn.h>
#include <sinter/state_dict.h>

#include "frontend/nn/state_difference.h"

namespace sinter::nn {

StateDict Module::state_dict() const {
  StateDict out;
  for (const Parameter& p : parameters()) out.add(p.name(), p.value());
  return out;
}

LoadedNames Module::load_state_dict(const StateDict& state, LoadOptions options,
                                    const std::source_location& at) {
  const detail::StateDifference difference(state_dict(), state);
  if (options.strict ? !difference.none() : !difference.mismatched.empty()) {
    const bool names_alone = difference.mismatched.empty();
    throw difference.explain(Error("the tensors do not fit {}", class_name()))
        .at(SourceLoc::from(at))
        .help(names_alone ? "load the weights of the same net, or pass {.strict = false} to take "
                            "only the names that both have"
                          : "make the net with the layers and sizes that the weights are of");
  }
  for (Parameter& p : parameters()) {
    if (const Tensor* value = state.find(p.name())) p.set_value(*value);
  }
  return {difference.missing, difference.extra};
}

void Module::copy_parameters(const Module& from) {
  const StateDict its = from.state_dict();
  const detail::StateDifference difference(state_dict(), its);
  if (!difference.none()) {
    throw difference
        .explain(Error("the parameters of {} do not fit {}", from.class_name(), class_name()))
        .help("make both nets with the same layers and sizes");
  }
  for (Parameter& p : parameters()) p.set_value(its.at(p.name()));
}

}  // namespace sinter::nn
