#include "frontend/program.h"

namespace sinter::detail {

Program::Program(Recorded recorded, const compiler::Options& options)
    : recorded_(std::move(recorded)) {
  for (const Argument& argument : recorded_.arguments) {
    void* data = nullptr;
    if (argument.kind == Argument::Kind::captured) {
      kept_.push_back(argument.tensor.contiguous());
      data = kept_.back().raw();
    }
    buffers_.push_back(data);
  }
  for (GlobalBinding& global : recorded_.globals) buffers_.push_back(global.tensor.raw());
  first_result_ = buffers_.size();
  buffers_.resize(first_result_ + recorded_.func().results.size(), nullptr);
  strides_.resize(buffers_.size(), 0);
  recompile(options);
}

void Program::recompile(const compiler::Options& options) {
  executable_ = compiler::compile(recorded_.module, recorded_.func().name, options);
}

}  // namespace sinter::detail
