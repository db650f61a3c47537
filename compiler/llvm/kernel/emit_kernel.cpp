#include "compiler/llvm/kernel/emit_kernel.h"

#include <algorithm>

#include "compiler/llvm/emit_scalar.h"
#include "compiler/llvm/math/vector_math.h"
#include "ir/op.h"

namespace sinter::compiler {

using ir::OpKind;
using ir::ValueId;
using llvm::BasicBlock;
using llvm::Value;

std::vector<int> FunctionContext::result_slots(ValueId value) const {
  std::vector<int> out;
  const size_t before = func.args.size() + module.globals.size();
  for (size_t i = 0; i < func.results.size(); ++i) {
    if (func.results[i] == value) out.push_back(static_cast<int>(before + i));
  }
  return out;
}

int FunctionContext::slot(ValueId value) const {
  const ir::ValueInfo& info = func[value];
  SINTER_CHECK(info.def != ir::ValueDef::op, "only arguments and globals have a slot of their own");
  return info.def == ir::ValueDef::argument ? info.index
                                            : static_cast<int>(func.args.size()) + info.index;
}

std::string kernel_symbol(const ir::Func& func, const ir::Op& kernel) {
  return func.name + "." + kernel.attrs.text("name");
}

std::string descriptor_symbol(const std::string& kernel_symbol) {
  return kernel_symbol + ".kernel";
}

llvm::FunctionType* kernel_type(llvm::LLVMContext& context) {
  llvm::Type *pointer = llvm::PointerType::getUnqual(context),
             *word = llvm::Type::getInt64Ty(context);
  return llvm::FunctionType::get(llvm::Type::getVoidTy(context),
                                 {pointer, pointer, pointer, word, word, word, pointer, pointer},
                                 false);
}

KernelEmitter::KernelEmitter(const FunctionContext& context, const ir::Op& kernel)
    : context_(context),
      kernel_(kernel),
      form_(kernel_form(context.module, context.func, kernel)),
      builder_(context.out.getContext()),
      entry_(context.out.getContext()),
      by_rows_(kernel.attrs.flag("by_rows")),
      parts_(std::max(form_.parts, kernel.attrs.integer("parts"))) {}

llvm::Function* KernelEmitter::emit_movable(Places& places) {
  llvm::Function* function = emit(true);
  places = places_;
  return function;
}

llvm::Function* KernelEmitter::emit(bool movable) {
  auto* function =
      llvm::Function::Create(kernel_type(llvm_context()), llvm::GlobalValue::ExternalLinkage,
                             kernel_symbol(context_.func, kernel_), context_.out);
  function->addFnAttr(llvm::Attribute::NoUnwind);
  buffers_ = function->getArg(0);
  arena_ = function->getArg(1);
  scratch_ = function->getArg(2);
  n_ = function->getArg(3);
  tid_ = function->getArg(4);
  threads_ = function->getArg(5);
  chunk_ = function->getArg(6);
  if (movable) table_ = function->getArg(7);
  BasicBlock* entry = BasicBlock::Create(llvm_context(), "entry", function);
  BasicBlock* start = BasicBlock::Create(llvm_context(), "start", function);
  entry_.SetInsertPoint(entry);
  builder_.SetInsertPoint(start);

  flatten();
  rows_ = columns_ = i64(1);
  if (form_.rank() > 0) {
    ir::Shape rows(form_.domain.begin(), form_.domain.end() - 1);
    rows_ = extent(rows, 0);
    columns_ = extent(form_.domain.back());
  }
  choose_tile();
  scopes_.emplace_back();
  tile_ = {.rows = 1, .vectors = 1, .row = i64(0), .column = i64(0), .mask = nullptr};
  if (form_.scatters()) {
    emit_scatter();
  } else if (form_.goes_along_lines()) {
    emit_lines();
  } else if (rows_outer_) {
    ask_for(0, 0);
    emit_rows_outer();
  } else if (row_sweep_) {
    ask_for(0, 0);
    emit_row_sweep();
  } else {
    ask_for(0, 0);
    emit_panels_outer();
  }
  builder_.CreateRetVoid();
  entry_.CreateBr(start);
  return function;
}

int64_t KernelEmitter::static_columns() const {
  if (form_.rank() == 0) return 1;
  const ir::Dim& d = form_.domain.back();
  return d.batch ? -1 : d.scale;
}

// Tile shapes: see the comment of each case. All follow from shapes and target alone.
void KernelEmitter::choose_tile() {
  bool wide = false;
  for (const KernelOp& k : form_.ops) {
    for (ValueId v : k.op->operands) wide |= context_.func.type(v).dtype == DType::f64;
    if (k.op->result.valid()) wide |= context_.func.type(k.op->result).dtype == DType::f64;
  }
  dot_lanes_ = context_.target.lanes(wide ? 8 : 4);
  lanes_ = form_.rank() == 0 ? 1 : dot_lanes_;
  const bool product = form_.root && form_.root->kind == OpKind::contraction;
  if (product) choose_contraction();

  const int64_t columns = static_columns();
  const int row_vectors =
      columns < 0 ? 1000
                  : static_cast<int>(std::min<int64_t>((columns + lanes_ - 1) / lanes_, 1000));
  const int budget = context_.target.accumulators();
  // A row that is reduced while a product is at hand stays in registers whole.
  const bool whole_row =
      form_.row_reduces && form_.root && columns > 0 && columns <= max_row_in_registers;
  int widest = product && !wide_panel_is_near() ? 2 : 4;
  if (product && dot_) widest = std::max(1, budget / (lanes_ * (form_.rank() > 1 ? 3 : 1)));
  tile_vectors_ = whole_row ? row_vectors : std::min(row_vectors, widest);
  if (form_.row_reduces && !form_.root && row_vectors <= 4) tile_vectors_ = row_vectors;
  one_panel_ = tile_vectors_ == row_vectors;

  const int per_row = product && dot_ ? tile_vectors_ * lanes_ : tile_vectors_;
  tile_rows_ = 1;
  if (form_.rank() > 1) {
    tile_rows_ = product ? full_tile_rows(context_.target, per_row) : std::max(1, 4 / per_row);
  }
  // Without a long sum there is no latency to hide, and every row of a tile costs compile time.
  if (!product || (depth_ >= 0 && depth_ <= 4)) tile_rows_ = std::min(tile_rows_, 2);
  if (form_.rank() > 1) {
    bool fixed = true;
    int64_t rows = 1;
    for (size_t i = 0; i + 1 < form_.domain.size(); ++i) {
      fixed &= !form_.domain[i].batch;
      rows *= form_.domain[i].scale;
    }
    if (fixed) tile_rows_ = static_cast<int>(std::min<int64_t>(tile_rows_, rows));
  }
  rows_outer_ = form_.row_reduces || (!form_.root && !form_.col_reduces && form_.rank() > 1) ||
                (one_panel_ && !form_.col_reduces) ||
                (form_.root && form_.root->kind == OpKind::gather && !form_.col_reduces);
  // With rows outside and several panels, rows are taken one by one.
  if (rows_outer_ && !one_panel_) {
    tile_rows_ = 1;
    packed_side_ = -1;
  }
  row_sweep_ = sweeps_rows();
  const int chains = tile_rows_ * tile_vectors_;
  if (product && !dot_ && (depth_ < 0 || depth_ > 16) && chains < 8) {
    depth_split_ = (8 + chains - 1) / chains;
  }
  few_rows_ = has_few_rows();
  if (few_rows_) packed_depth_ = 0;  // nothing is packed
  apart_ = product_apart();
  choose_depth_blocks();
  choose_panel_groups();
  choose_chunks();
}

Value* KernelEmitter::for_loop(Value* begin, Value* end, Value* step, Carried& carried,
                               const std::function<void(Value*, Carried&)>& body) {
  return emit_loop(builder_, begin, end, step, carried, [&](Value* i, Carried& inner) {
    scopes_.emplace_back();
    body(i, inner);
    scopes_.pop_back();
  });
}

void KernelEmitter::if_then(Value* condition, const std::function<void()>& body) {
  emit_if(builder_, condition, [&] {
    scopes_.emplace_back();
    body();
    scopes_.pop_back();
  });
}

// This thread's part of `units`, in order of threads; everything when one thread runs the kernel.
std::pair<Value*, Value*> KernelEmitter::shard(Value* units) {
  if (!kernel_.attrs.flag("parallel")) return {i64(0), units};
  const auto cut = [&](Value* t) {
    return builder_.CreateUDiv(builder_.CreateMul(units, t), threads_);
  };
  return {cut(tid_), cut(builder_.CreateAdd(tid_, i64(1)))};
}

// Full tiles, then what is left: exactly, if it is known, else by twos and ones. Every row is
// computed in the same order of operations whichever tile it falls into.
void KernelEmitter::row_blocks(Value* begin, Value* end, Carried& carried,
                               const std::function<void(int, Value*, Carried&)>& body) {
  if (few_rows_) return summed_rows(begin, end, carried, body);
  if (apart_) return product_blocks(begin, end, carried, body);
  const auto loop = [&](Value* from, int rows) {
    return for_loop(from, end, i64(rows), carried,
                    [&](Value* row, Carried& inner) { body(rows, row, inner); });
  };
  Value* left = loop(begin, tile_rows_);
  auto* first = llvm::dyn_cast<llvm::ConstantInt>(begin);
  auto* last = llvm::dyn_cast<llvm::ConstantInt>(end);
  if (first && last) {
    const auto rest = static_cast<int>((last->getSExtValue() - first->getSExtValue()) % tile_rows_);
    if (rest > 0) loop(i64(last->getSExtValue() - rest), rest);
    return;
  }
  // Twos pay for their code only where a row takes long.
  if (tile_rows_ > 2 && (depth_ < 0 || depth_ > 64) && form_.root) left = loop(left, 2);
  if (tile_rows_ > 1) loop(left, 1);
}

// Lanes 0 to left-1 of a vector.
Value* KernelEmitter::tail_mask(Value* left) {
  std::vector<llvm::Constant*> numbers;
  for (int i = 0; i < lanes_; ++i) numbers.push_back(builder_.getInt32(static_cast<uint32_t>(i)));
  Value* count = builder_.CreateTrunc(left, builder_.getInt32Ty());
  return builder_.CreateICmpULT(llvm::ConstantVector::get(numbers),
                                builder_.CreateVectorSplat(static_cast<unsigned>(lanes_), count));
}

// Where rows of the batch begin and end for the parts from `first` to `last` - 1.
std::pair<Value*, Value*> KernelEmitter::part_rows(Value* first, Value* last) {
  const auto begin = [&](Value* part) {
    return builder_.CreateUDiv(builder_.CreateMul(n_, part), i64(parts_));
  };
  return {begin(first), begin(last)};
}

// Runs body for each part of this thread that has sums of its own, or once.
void KernelEmitter::for_parts(const std::function<void()>& body) {
  if (form_.parts == 1) return body();
  const auto [first, last] = shard(i64(parts_));
  Carried none;
  for_loop(first, last, i64(1), none, [&](Value* part, Carried&) {
    part_ = part;
    if (deep_in_parts()) {
      const auto [begin, end] = part_rows(part, builder_.CreateAdd(part, i64(1)));
      with_depth(begin, builder_.CreateSub(end, begin), body);
    } else {
      body();
    }
    part_ = nullptr;
  });
}

// The rows of this thread: those of its parts, or in whole tiles.
std::pair<Value*, Value*> KernelEmitter::shard_rows() {
  if (deep_in_parts()) return {i64(0), rows_};  // of the result
  if (part_) return part_rows(part_, builder_.CreateAdd(part_, i64(1)));
  if (parts_ > 1) {
    const auto [first, last] = shard(i64(parts_));
    return part_rows(first, last);
  }
  Value* units =
      builder_.CreateUDiv(builder_.CreateAdd(rows_, i64(tile_rows_ - 1)), i64(tile_rows_));
  const auto [begin, end] = shard(units);
  Value* last = builder_.CreateMul(end, i64(tile_rows_));
  last = builder_.CreateSelect(builder_.CreateICmpSLT(last, rows_), last, rows_);
  return {builder_.CreateMul(begin, i64(tile_rows_)), last};
}

void KernelEmitter::emit_rows_outer() {
  const auto [first, last] = shard_rows();
  Carried none;
  if (!one_panel_) {
    row_blocks(first, last, none, [&](int, Value* row, Carried&) { wide_row(row); });
    return;
  }
  // The whole row is one tile: its columns are asked for once, before the rows.
  const int64_t columns = static_columns();
  tile_.vectors = tile_vectors_;
  const int64_t rest = columns % lanes_;
  tile_.mask = form_.rank() > 0 && rest > 0 ? tail_mask(i64(rest)) : nullptr;
  ask_for(form_.columns(), 0);
  for_parts([&, first = first, last = last] {
    hoist_operands();
    pack_panel();
    row_blocks(first, last, none, [&](int rows, Value* row, Carried&) {
      tile_.rows = rows;
      tile_.row = row;
      emit_contraction();
      for (int phase = 0; phase < form_.phases; ++phase) reduce_tile(phase);
      emit_stores(-1);
    });
  });
}

// One row that does not fit into registers: a loop over its columns for each phase.
void KernelEmitter::wide_row(Value* row) {
  tile_.rows = 1;
  tile_.row = row;
  const int r = form_.rank() > 1 ? 0 : -1;
  for (int phase = 0; phase < form_.phases; ++phase) {
    std::vector<const KernelOp*> reductions;
    for (const KernelOp& k : form_.ops) {
      if (k.role == Role::row_reduce && k.phase == phase + 1) reductions.push_back(&k);
    }
    const auto needs_columns = [&](const KernelOp& k) {
      return store_phase(k) == phase && by_column(k.varies) &&
             (k.role == Role::assign || is_output(k.op->result));
    };
    const bool stores = std::any_of(form_.ops.begin(), form_.ops.end(), needs_columns);
    tile_.column = i64(0);
    ask_for(form_.full() & ~form_.columns(), phase);
    if (!reductions.empty() || stores) {
      Carried states;
      for (int c = 0; c < tile_vectors_; ++c) {
        for (const KernelOp* k : reductions) {
          for (Value* v : start_reduction(*k, true)) states.push_back(v);
        }
      }
      const auto tile = [&](int vectors, Value* column, Value* mask, Carried& carried) {
        tile_.vectors = vectors;
        tile_.column = column;
        tile_.mask = mask;
        if (phase == 0) emit_contraction();
        size_t at = 0;
        for (int c = 0; c < vectors; ++c) {
          for (const KernelOp* k : reductions) {
            fold_tile(*k, &carried[at], r, c);
            at += static_cast<size_t>(state_size(*k));
          }
        }
        if (stores) emit_stores(phase);
      };
      const auto loop = [&](Value* from, int vectors) {
        return for_loop(
            from, columns_, i64(vectors * lanes_), states,
            [&](Value* column, Carried& inner) { tile(vectors, column, nullptr, inner); });
      };
      Value* left = loop(i64(0), tile_vectors_);
      if (tile_vectors_ > 1) left = loop(left, 1);
      // A last tile with a mask, unless the row is a multiple of the vector.
      Value* rest = builder_.CreateSub(columns_, left);
      const int64_t columns = static_columns();
      if (columns < 0 || columns % lanes_ != 0) {
        for_loop(left, builder_.CreateAdd(columns_, i64(lanes_ - 1)), i64(lanes_), states,
                 [&](Value* column, Carried& inner) { tile(1, column, tail_mask(rest), inner); });
      }
      size_t stride = 0, at = 0;
      for (const KernelOp* k : reductions) stride += static_cast<size_t>(state_size(*k));
      for (const KernelOp* k : reductions) {
        const auto size = static_cast<size_t>(state_size(*k));
        Carried total(states.begin() + static_cast<long>(at),
                      states.begin() + static_cast<long>(at + size));
        for (int c = 1; c < tile_vectors_; ++c) {
          const size_t other = static_cast<size_t>(c) * stride + at;
          fold(*k, total.data(), states[other], size > 1 ? states[other + 1] : nullptr);
        }
        remember(k->op->result, r, -1, finish_reduction(*k, total));
        at += size;
      }
    }
  }
  tile_.vectors = 1;
  tile_.column = i64(0);
  tile_.mask = nullptr;
  std::vector<const KernelOp*> rest;
  for (const KernelOp& k : form_.ops) {
    if (!by_column(k.varies) && (k.role == Role::assign || is_output(k.op->result))) {
      rest.push_back(&k);
    }
  }
  store_all(rest);
}

void KernelEmitter::emit_panels_outer() {
  if (blocks_outer_) {
    for_early_blocks([&](Value* begin) {
      for_panels([&](Value* column, int vectors, Value* mask) {
        tile_ = {.rows = 1, .vectors = vectors, .row = i64(0), .column = column, .mask = mask};
        add_block(begin);
      });
    });
  }
  for_row_groups([&] {
    if (panels_of_group_ > 0) return sweep_panel_groups();
    for_panels([&](Value* column, int vectors, Value* mask) { panel(column, vectors, mask); });
  });
}

// Begin and end of the panels that this thread is to go through, the one of what is left of the
// columns included.
std::pair<Value*, Value*> KernelEmitter::panels_at_hand() {
  if (panel_range_.first) return panel_range_;
  const int64_t columns = static_columns();
  Value* whole = builder_.CreateUDiv(columns_, i64(panel_columns()));
  const bool rest = columns < 0 || columns % panel_columns() != 0;
  Value* all = rest ? builder_.CreateAdd(whole, i64(1)) : whole;
  // Where threads share rows each of them goes through all columns.
  if (!kernel_.attrs.flag("parallel") || parts_ > 1 || row_sweep_ || by_rows_) return {i64(0), all};
  const auto [begin, end] = shard(whole);
  if (!rest) return {begin, end};
  Value* last = builder_.CreateICmpEQ(builder_.CreateAdd(tid_, i64(1)), threads_);
  return {begin, builder_.CreateSelect(last, all, end)};
}

// The panels at hand; the last one may be narrower, or have lanes that do not exist.
void KernelEmitter::for_panels(
    const std::function<void(Value* column, int vectors, Value* mask)>& body) {
  const int64_t width = panel_columns();
  Value* units = builder_.CreateUDiv(columns_, i64(width));
  auto [begin, end] = panels_at_hand();
  Value* mine = builder_.CreateICmpSGT(end, units);  // what is left of the columns
  end = builder_.CreateSelect(mine, units, end);
  first_panel_ = begin;
  Value* last = builder_.CreateMul(end, i64(width));
  Carried none;
  for_loop(builder_.CreateMul(begin, i64(width)), last, i64(width), none,
           [&](Value* column, Carried&) {
             fetch_columns(column, last);
             body(column, tile_vectors_, nullptr);
           });
  const int64_t columns = static_columns();
  Value* left = builder_.CreateMul(units, i64(width));
  if (columns >= 0) {
    const int64_t rest = columns % width;
    if (rest == 0) return;
    const int vectors = static_cast<int>((rest + lanes_ - 1) / lanes_);
    Value* mask = rest % lanes_ ? tail_mask(i64(rest % lanes_)) : nullptr;
    if_then(mine, [&] { body(left, vectors, mask); });
    return;
  }
  if_then(mine, [&] {
    left = for_loop(left, columns_, i64(lanes_), none,
                    [&](Value* column, Carried&) { body(column, 1, nullptr); });
    Value* rest = builder_.CreateSub(columns_, left);
    if_then(builder_.CreateICmpSGT(rest, i64(0)), [&] { body(left, 1, tail_mask(rest)); });
  });
}

// A panel of columns, with the sums over rows in registers until the end.
void KernelEmitter::panel(Value* column, int vectors, Value* mask) {
  scopes_.emplace_back();
  tile_ = {.rows = 1, .vectors = vectors, .row = i64(0), .column = column, .mask = mask};
  ask_for(form_.columns(), 0);
  if (depth_block_ > 0 && !blocks_outer_) for_early_blocks([&](Value* begin) { add_block(begin); });
  in_last_block([&] {
    if (few_rows_) {
      sum_few_rows();
    } else if (!deep_in_parts()) {
      hoist_operands();
      pack_panel_of_chunk();
    }
    for_parts([&] {
      if (deep_in_parts()) {
        hoist_operands();
        pack_panel();
      }
      rows_of_panel();
    });
  });
  scopes_.pop_back();
}

// Those that a panel goes through: of the chunk, of this thread, or all.
std::pair<Value*, Value*> KernelEmitter::rows_at_hand() {
  if (row_range_.first) return row_range_;
  if (parts_ > 1 || by_rows_) return shard_rows();
  return {i64(0), rows_};
}

void KernelEmitter::rows_of_panel() {
  const int vectors = tile_.vectors;
  std::vector<const KernelOp*> sums;
  Carried totals;
  for (const KernelOp& k : form_.ops) {
    if (k.role != Role::col_reduce) continue;
    sums.push_back(&k);
    for (int c = 0; c < vectors; ++c) totals.push_back(start_reduction(k, true)[0]);
  }
  const auto [first, last] = rows_at_hand();
  row_blocks(first, last, totals, [&](int rows, Value* row, Carried& carried) {
    tile_.rows = rows;
    tile_.row = row;
    emit_contraction();
    size_t at = 0;
    for (const KernelOp* k : sums) {
      for (int c = 0; c < vectors; ++c, ++at) {
        for (int r = 0; r < rows; ++r) {
          fold(*k, &carried[at], lanes_of(get(k->op->operands[0], r, c)), nullptr);
        }
      }
    }
    emit_stores(-1);
  });
  size_t at = 0;
  for (const KernelOp* k : sums) {
    for (int c = 0; c < vectors; ++c) remember(k->op->result, -1, c, totals[at++]);
  }
  tile_.rows = 1;
  tile_.row = i64(0);
  emit_late_stores();
}

}  // namespace sinter::compiler
