// The frame of a kernel with rows in lanes: passes, blocks of rows, and the sums over rows.
#include "compiler/llvm/batch/emit_batch.h"

#include <algorithm>
#include <cstddef>

#include "compiler/llvm/math/vector_math.h"
#include "ir/op.h"

namespace sinter::compiler {

using ir::OpKind;
using ir::ValueId;
using llvm::BasicBlock;
using llvm::Value;

BatchEmitter::BatchEmitter(const FunctionContext& context, const ir::Op& kernel)
    : context_(context),
      kernel_(kernel),
      form_(batch_form(context.func, kernel)),
      builder_(context.out.getContext()),
      entry_(context.out.getContext()) {
  defs_.resize(context.func.values.size(), nullptr);
  for (const BatchOp& b : form_.ops) {
    if (b.role == BatchRole::assign) continue;
    made_by_[b.op->result] = &b;
    defs_[static_cast<size_t>(b.op->result.index)] = b.op;
  }
}

std::string tail_symbol(const ir::Func& func, const ir::Op& kernel) {
  return kernel_symbol(func, kernel) + ".tail";
}

llvm::Function* BatchEmitter::emit() {
  choose_block();
  llvm::Function* function = begin_function(kernel_symbol(context_.func, kernel_));
  if (kernel_.attrs.flag("parallel")) {
    emit_chunks();
    end_function();
    begin_function(tail_symbol(context_.func, kernel_));
    add_chunks();
  } else {
    for (int pass = 0; pass < form_.passes; ++pass) emit_pass(pass);
  }
  emit_tail();
  end_function();
  return function;
}

llvm::Function* BatchEmitter::begin_function(const std::string& name) {
  auto* function = llvm::Function::Create(kernel_type(llvm_context()),
                                          llvm::GlobalValue::ExternalLinkage, name, context_.out);
  function->addFnAttr(llvm::Attribute::NoUnwind);
  buffers_ = function->getArg(0);
  arena_ = function->getArg(1);
  n_ = function->getArg(3);
  chunk_ = function->getArg(6);
  BasicBlock* entry = BasicBlock::Create(llvm_context(), "entry", function);
  start_ = BasicBlock::Create(llvm_context(), "start", function);
  entry_.SetInsertPoint(entry);
  builder_.SetInsertPoint(start_);
  begin_row_ = i64(0);
  end_row_ = n_;
  scalars_.clear();
  finished_.clear();
  bases_.clear();
  return function;
}

void BatchEmitter::end_function() {
  builder_.CreateRetVoid();
  entry_.CreateBr(start_);
}

// Where the totals of a chunk lie in the arena.
Value* BatchEmitter::chunk_at(Value* number) {
  llvm::Type* element = total_type_->getScalarType();
  Value* first = builder_.CreateConstGEP1_64(
      builder_.getInt8Ty(), arena_, static_cast<uint64_t>(kernel_.attrs.integer("partials")));
  return builder_.CreateGEP(element, first, builder_.CreateMul(number, i64(chunk_totals(form_))));
}

// How threads share the rows of a parallel kernel: by chunks of rows, which the body finds in the
// sinter_chunk that it is handed.
sinter_chunk_plan BatchEmitter::chunks() const {
  const int64_t size = kernel_.attrs.integer("chunk");
  const int64_t all = (context_.func.max_batch + size - 1) / size;
  // Each is a call, and the more there are, the less the slower core holds up the other.
  constexpr int64_t most = 16, usual_threads = 2;
  return {.rows_per_n = 1,
          .more_rows = 0,
          .tile_rows = size,
          .panels = 1,
          .panel_chunks = 1,
          .row_chunks = std::clamp<int64_t>(all / usual_threads, 1, most),
          .by_rows = true,
          .panels_inside = false};
}

void BatchEmitter::emit_chunks() {
  const int64_t size = kernel_.attrs.integer("chunk");
  place_totals(0);
  hoist_uniforms(0);
  const auto cut = [&](size_t field, int64_t round_up) {
    Value* rows = load_chunk_word(builder_, chunk_, field);
    return builder_.CreateUDiv(builder_.CreateAdd(rows, i64(round_up)), i64(size));
  };
  Value* end = cut(offsetof(sinter_chunk, row_end), size - 1);
  loop(cut(offsetof(sinter_chunk, row_begin), 0), end, 1, [&](Value* chunk) {
    begin_row_ = builder_.CreateMul(chunk, i64(size));
    Value* limit = builder_.CreateAdd(begin_row_, i64(size));
    end_row_ = builder_.CreateSelect(builder_.CreateICmpSLT(limit, n_), limit, n_);
    emit_rows(0);
    Value* to = chunk_at(chunk);
    const int64_t count = (total_counts_.at(0) + lanes_ - 1) / lanes_ * lanes_;
    loop(i64(0), i64(count), lanes_, [&](Value* first) {
      std::vector<Value*> rows;
      llvm::Type* vector = vector_of(total_type_->getScalarType(), lanes_);
      for (int i = 0; i < lanes_; ++i) {
        rows.push_back(
            builder_.CreateLoad(vector, total_row(0, builder_.CreateAdd(first, i64(i)))));
      }
      store_pieces(add_across(std::move(rows)),
                   builder_.CreateGEP(total_type_->getScalarType(), to, first), lanes_);
    });
  });
}

// Adds the totals of all chunks to those of the first one, in order.
void BatchEmitter::add_chunks() {
  llvm::Type* element = total_type_->getScalarType();
  const int64_t size = kernel_.attrs.integer("chunk");
  Value* chunks = builder_.CreateUDiv(builder_.CreateAdd(n_, i64(size - 1)), i64(size));
  sums_ = chunk_at(i64(0));
  const int64_t count = (total_counts_.at(0) + lanes_ - 1) / lanes_ * lanes_;
  loop(i64(1), chunks, 1, [&](Value* chunk) {
    Value* from = chunk_at(chunk);
    loop(i64(0), i64(count), lanes_, [&](Value* i) {
      Value* at = builder_.CreateGEP(element, sums_, i);
      Value* x = load_pieces(element, builder_.CreateGEP(element, from, i), lanes_);
      store_pieces(builder_.CreateFAdd(load_pieces(element, at, lanes_), x), at, lanes_);
    });
  });
  finish_totals(0);
}

// The vectors of a block share the loads of parameters and totals.
void BatchEmitter::choose_block() {
  bool wide = false;
  for (const BatchOp& b : form_.ops) {
    for (ValueId v : b.op->operands) wide |= type(v).dtype == DType::f64;
    if (b.op->result.valid()) wide |= type(b.op->result).dtype == DType::f64;
  }
  lanes_ = context_.target.lanes(wide ? 8 : 4);
  total_type_ = vector_of(wide ? builder_.getDoubleTy() : builder_.getFloatTy(), lanes_);
  if (kernel_.attrs.flag("parallel")) {  // then all totals have one type
    for (const BatchOp& b : form_.ops) {
      if (b.role != BatchRole::total) continue;
      total_type_ = vector_of(element_type(llvm_context(), type(b.op->result).dtype), lanes_);
    }
  }
  // Straight code takes as many rows to a block whatever the vector is, so that a batch of a
  // hundred leaves few; a block that no batch can fill would work for nothing.
  block_ = !form_.loops && context_.target.vector_bytes > 32 ? 2 : 4;
  if (!form_.loops) {
    while (block_ > 1 && int64_t{block_} * lanes_ > context_.func.max_batch) block_ /= 2;
    return;
  }
  if (kernel_.attrs.flag("parallel")) return;  // chunks are so many whole blocks
  const int64_t vectors = (context_.func.max_batch + lanes_ - 1) / lanes_;
  const int64_t most = context_.target.registers >= 32 ? 8 : 4;
  if (vectors <= most) {
    block_ = static_cast<int>(vectors);
    return;
  }
  // A block takes about as long as one vector more, since its stages wait for each other.
  const auto time = [&](int64_t block) {
    const int64_t rest = vectors % block;
    return vectors / block * (block + 1) + (rest > 0 ? rest + 1 : 0);
  };
  for (int block = block_ + 1; block <= most - 2; ++block) {
    if (time(block) < time(block_)) block_ = block;
  }
}

bool BatchEmitter::is_result(ValueId v) const {
  const auto& results = context_.func.results;
  return std::find(results.begin(), results.end(), v) != results.end();
}

std::vector<BatchEmitter::Root> BatchEmitter::roots_of(int pass) const {
  const ir::Func& func = context_.func;
  std::vector<Root> roots;
  for (const BatchOp& b : form_.ops) {
    if (b.pass != pass || b.role != BatchRole::total) continue;
    const ir::Op& op = *b.op;
    const int64_t count = elements(type(op.result));
    for (int64_t j = 0; j < count; ++j) {
      int64_t order = 0;
      if (op.kind == OpKind::contraction) {
        const auto [a, b_element] = contracted_elements(func, op, j).front();
        const bool left = elements(type(op.operands[0])) >= elements(type(op.operands[1]));
        order = left ? a : b_element;
      } else {
        order = folded_elements(func, op, j).front();
      }
      roots.push_back({&b, j, order});
    }
  }
  std::stable_sort(roots.begin(), roots.end(),
                   [](const Root& a, const Root& b) { return a.order < b.order; });
  for (const BatchOp& b : form_.ops) {
    if (b.pass == pass && b.role == BatchRole::row && is_result(b.op->result)) {
      roots.push_back({&b, 0, 0});
    }
  }
  return roots;
}

// Totals of one element come first, so that they are added up across together, and products over
// the batch last.
void BatchEmitter::place_totals(int pass) {
  std::set<const ir::Op*> products;
  if (form_.loops) {
    StagesAnalysis plan = plan_stages(context_.func, form_, pass);
    SINTER_CHECK(plan.stages.has_value(), "{} has no stages: {}", kernel_.attrs.text("name"),
                 plan.reason);
    stages_ = std::move(*plan.stages);
    products.insert(stages_.products.begin(), stages_.products.end());
  }
  const auto rank = [&](const BatchOp& b) {
    return products.count(b.op) ? 2 : elements(type(b.op->result)) > 1 ? 1 : 0;
  };
  int64_t next = 0;
  for (const int now : {0, 1, 2}) {
    if (now == 2) products_from_ = next;
    for (const BatchOp& b : form_.ops) {
      if (b.role != BatchRole::total || b.pass != pass || rank(b) != now) continue;
      totals_[b.op->result] = {pass, next};
      next += elements(type(b.op->result));
    }
  }
  total_counts_[pass] = next;
  // Whole vectors of elements are added up across.
  auto* rows = entry_.CreateAlloca(total_type_, i64((next / lanes_ + 1) * lanes_));
  rows->setAlignment(llvm::Align(64));
  accumulators_[pass] = rows;
}

// Those that do not start from nothing, and, where all lanes of whole vectors are read, what fills
// up the last one.
void BatchEmitter::clear_totals(int pass) {
  Value* zero = llvm::Constant::getNullValue(total_type_);
  const auto clear = [&](int64_t from, int64_t to) {
    constexpr int64_t straight = 64;
    const auto one = [&](Value* i) { builder_.CreateStore(zero, total_row(pass, i)); };
    if (to - from > straight) {
      loop(i64(from), i64(to), 1, one);
    } else {
      for (int64_t i = from; i < to; ++i) one(i64(i));
    }
  };
  const int64_t count = total_counts_.at(pass);
  if (kernel_.attrs.flag("parallel")) clear(count, (count + lanes_ - 1) / lanes_ * lanes_);
  const bool needed = std::any_of(form_.ops.begin(), form_.ops.end(), [&](const BatchOp& b) {
    return b.role == BatchRole::total && b.pass == pass &&
           totals_.at(b.op->result).second < products_from_ && !complete_at_once(*b.op);
  });
  if (needed) clear(0, products_from_);
  if (!products_start_) clear(products_from_, count);
}

void BatchEmitter::emit_pass(int pass) {
  place_totals(pass);
  hoist_uniforms(pass);
  emit_rows(pass);
  finish_totals(pass);
}

// Rows begin_row_ to end_row_.
void BatchEmitter::emit_rows(int pass) {
  if (form_.loops) {
    emit_stages(pass);
    return;
  }
  clear_totals(pass);
  const std::vector<Root> roots = roots_of(pass);
  const int64_t rows = int64_t{block_} * lanes_;
  Value* left =
      loop(begin_row_, end_row_, rows, [&](Value* row) { block(roots, block_, row, false); });
  // What is left, vector by vector under a mask.
  Value* end = builder_.CreateAdd(end_row_, i64(lanes_ - 1));
  loop(left, end, lanes_, [&](Value* row) { block(roots, 1, row, true); });
}

// Vectors from the first one on that may be partly empty have a mask.
void BatchEmitter::begin_block(Value* row, int vectors, int first_masked) {
  vectors_ = vectors;
  first_row_ = row;
  masks_.assign(static_cast<size_t>(vectors), nullptr);
  for (int v = first_masked; v < vectors; ++v) {
    masks_[static_cast<size_t>(v)] = lanes_below(elements_left(v, 1));
  }
}

void BatchEmitter::block(const std::vector<Root>& roots, int vectors, Value* row, bool masked) {
  begin_block(row, vectors, masked ? 0 : vectors);
  rows_.clear();
  repeated_.clear();
  for (const Root& root : roots) {
    if (root.op->role == BatchRole::total) {
      accumulate(root);
    } else {
      store_rows(root.op->op->result);
    }
  }
}

// Adds what the block contributes to one element of a total.
void BatchEmitter::accumulate(const Root& root) {
  const ir::Op& op = *root.op->op;
  change_total(op, i64(root.element), [&](Value* total) {
    if (op.kind == OpKind::contraction) {
      for (const auto& [a, b] : contracted_elements(context_.func, op, root.element)) {
        const Lanes right = lanes_of(op.operands[1], b);
        total = add_term(total, term(op.operands[0], a), &right);
      }
    } else {
      for (const int64_t j : folded_elements(context_.func, op, root.element)) {
        total = add_term(total, term(op.operands[0], j), nullptr);
      }
    }
    return total;
  });
}

// Replaces an element of a total by what `change` makes of it; null is one that starts from
// nothing.
void BatchEmitter::change_total(const ir::Op& op, Value* number,
                                const std::function<Value*(Value*)>& change) {
  const auto [pass, first] = totals_.at(op.result);
  llvm::Type* vector = vector_of(element_type(llvm_context(), type(op.result).dtype), lanes_);
  Value* at = total_row(pass, builder_.CreateAdd(number, i64(first)));
  Value* before = complete_at_once(op) ? nullptr : builder_.CreateLoad(vector, at);
  builder_.CreateStore(change(before), at);
}

// What is added to a total: of where(c, x, 0), x in the lanes where c holds. Other rows add
// nothing, even where x stands in a product with something that is not finite.
BatchEmitter::Term BatchEmitter::term(ValueId v, int64_t j) {
  if (form_.loops) v = plain(v);
  const auto made = made_by_.find(v);
  const bool in_memory = kept_.count(v) && !here_.count(v);
  if (in_memory || made == made_by_.end() || made->second->op->kind != OpKind::select) {
    return {lanes_of(v, j), {}};
  }
  const ir::Op& op = *made->second->op;
  if (!makes_zero(defs_[static_cast<size_t>(op.operands[2].index)])) return {lanes_of(v, j), {}};
  const auto operand = [&](size_t i) {
    return lanes_of(op.operands[i], operand_element(context_.func, op, i, j));
  };
  return {operand(1), operand(0)};
}

// Those of vector i that are rows for which the condition holds, if there is one; null for all.
Value* BatchEmitter::lanes_that_count(Value* condition, size_t i) {
  if (!condition || !masks_[i]) return condition ? condition : masks_[i];
  return builder_.CreateAnd(condition, masks_[i]);
}

// Adds a term, times `factor` if there is one, to a total.
Value* BatchEmitter::add_term(Value* total, const Term& term, const Lanes* factor) {
  for (size_t i = 0; i < term.value.size(); ++i) {
    Value* x = term.value[i];
    Value* sum = nullptr;
    if (factor) {
      sum = total ? fma(x, (*factor)[i], total) : builder_.CreateFMul(x, (*factor)[i]);
    } else {
      sum = total ? builder_.CreateFAdd(total, x) : x;
    }
    Value* counts = lanes_that_count(term.counts.empty() ? nullptr : term.counts[i], i);
    if (!total) total = llvm::Constant::getNullValue(sum->getType());
    // The choice stands last, so that it can be the mask of the addition.
    total = counts ? builder_.CreateSelect(counts, sum, total) : sum;
  }
  return total;
}

// Where the lanes of a total's element lie.
Value* BatchEmitter::total_row(int pass, Value* number) {
  return builder_.CreateGEP(total_type_, accumulators_.at(pass), number);
}

Value* BatchEmitter::loop(Value* begin, Value* end, int64_t step,
                          const std::function<void(Value*)>& body) {
  Carried none;
  return emit_loop(builder_, begin, end, i64(step), none, [&](Value* i, Carried&) { body(i); });
}

// ---- Small pieces of IR ------------------------------------------------------------------------

llvm::Type* BatchEmitter::vector_of(llvm::Type* element, int lanes) const {
  return llvm::FixedVectorType::get(element, static_cast<unsigned>(lanes));
}

Value* BatchEmitter::fma(Value* a, Value* x, Value* c) {
  return emit_fma(builder_, context_.target.fma, a, x, c);
}

Value* BatchEmitter::slot_base(int slot) {
  Value*& base = bases_[slot];
  if (!base) {
    llvm::Type* pointer = entry_.getPtrTy();
    base = entry_.CreateLoad(
        pointer, entry_.CreateConstGEP1_64(pointer, buffers_, static_cast<uint64_t>(slot)));
  }
  return base;
}

Value* BatchEmitter::base_of(ValueId v) { return slot_base(context_.slot(v)); }

// The address `elements` elements behind `base`.
Value* BatchEmitter::offset(Value* base, DType dtype, Value* elements) {
  return builder_.CreateGEP(memory_type(llvm_context(), dtype), base, elements);
}

const ir::ScalarProgram& BatchEmitter::program(const ir::Op& op) {
  const auto it = programs_.find(&op);
  if (it != programs_.end()) return it->second;
  return programs_[&op] = ir::scalar_program(context_.func, op);
}

}  // namespace sinter::compiler
