// Emits a kernel whose rows lie in the lanes of vectors (compiler/forms/batch_form.h) as one LLVM
// function: for each pass a loop over blocks of rows, then the tail.
//
// In a block, each element of a row value is one vector of rows for each of block_ vectors.
// Elements are computed on demand, once a block: a total asks for the elements that it folds, which
// ask for their operands. A total is a row of lanes in stack memory for each of its elements,
// loaded and stored once a block; lanes are added up across once, when the pass is over, in a fixed
// tree.
//
// The tail computes uniform values as vectors of consecutive elements, so that parameters and state
// are read and written as they lie in memory.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include "compiler/forms/batch_form.h"
#include "compiler/forms/batch_stages.h"
#include "compiler/llvm/emit_loop.h"
#include "compiler/llvm/emit_scalar.h"
#include "compiler/llvm/kernel/emit_kernel.h"
#include "ir/scalar.h"

namespace sinter::compiler {

class BatchEmitter {
 public:
  BatchEmitter(const FunctionContext& context, const ir::Op& kernel);

  // A function of kernel_type. That of a parallel kernel computes the totals of some chunks of
  // rows, and a function of its own, tail_symbol, the rest on one thread.
  llvm::Function* emit();
  // How the rows of a parallel kernel are cut up.
  sinter_chunk_plan chunks() const;

 private:
  using Value = llvm::Value;
  using Lanes = std::vector<Value*>;            // one vector for each vector of the block
  using Element = std::pair<int32_t, int64_t>;  // a value and the number of its element

  // What a pass computes for its own sake: one element of a total, or of a row value that is
  // returned.
  struct Root {
    const BatchOp* op;
    int64_t element;
    int64_t order;  // roots that read the same wide element stand together
  };

  // The frame (emit_batch.cpp).
  llvm::Function* begin_function(const std::string& name);
  void end_function();
  void emit_chunks();
  void add_chunks();
  Value* chunk_at(Value* number);
  void clear_totals(int pass);
  bool complete_at_once(const ir::Op& total) const;
  void change_total(const ir::Op& total, Value* number,
                    const std::function<Value*(Value*)>& change);
  void choose_block();
  void emit_pass(int pass);
  void emit_rows(int pass);
  std::vector<Root> roots_of(int pass) const;
  void place_totals(int pass);
  void begin_block(Value* row, int vectors, int first_masked);
  void block(const std::vector<Root>& roots, int vectors, Value* row, bool masked);
  struct Term {
    Lanes value;
    Lanes counts;  // lanes that are added; empty for all
  };
  void accumulate(const Root& root);
  Term term(ir::ValueId v, int64_t j);
  // emit_loop by a number, with nothing carried.
  Value* loop(Value* begin, Value* end, int64_t step, const std::function<void(Value*)>& body);
  Value* total_row(int pass, Value* number);
  bool is_result(ir::ValueId v) const;

  // Loops over features (emit_batch_stages.cpp).
  struct Kept {
    Value* memory = nullptr;  // vector_ of each vector of the block, feature by feature
    llvm::Type* vector = nullptr;
    bool of_piece = false;  // else of the block at hand
  };
  void emit_stages(int pass);
  void keep(ir::ValueId v);
  Value* kept_at(const Kept& kept, Value* feature, int vector);
  void load_block(const std::vector<ir::ValueId>& arguments);
  void load_whole_block(ir::ValueId v, bool may_stay);
  void load_part_of_block(ir::ValueId v);
  Value* load_strided(Value* at, llvm::Type* vector, DType dtype, int64_t stride, Value* mask);
  int vectors_left_over() const;
  Value* blocks();
  Value* rest_of_rows(Value* from);
  void block_of_rows(Value* row, int vectors, int first_masked);

  // What a stage does with a tile of features (emit_batch_tiles.cpp).
  void stage(const BatchStage& stage);
  static int tile_size(int64_t features, int most);
  int most_tile() const;
  bool in_registers(ir::ValueId v) const;
  Lanes earlier(ir::ValueId v, int64_t j);
  Lanes load_kept(ir::ValueId v, Value* feature);
  void tile(const BatchStage& stage, Value* feature, int features, Carried& folded);
  void tile_product(const ir::Op& op, int features);
  void tile_kept(const ir::Op& op, int features);
  void start_fold(const ir::Op& op, Carried& folded);
  Carried::iterator tile_fold(const ir::Op& op, int features, Carried::iterator at);
  void start_dot(const RowDot& dot, Carried& folded);
  Carried::iterator tile_dot(const RowDot& dot, int features, Carried::iterator at);
  Value* lanes_that_count(Value* condition, size_t i);
  Value* add_term(Value* total, const Term& term, const Lanes* factor);
  void tile_totals(const BatchStage& stage, int features);
  void add_logs(const LogSum& sum);
  void total_products(Value* end);
  void total_tile(const ir::Op& op, Value* left, int lefts, Value* right, int rights,
                  Value* vectors);
  const Lanes& stage_element(ir::ValueId v, int64_t j);
  Value* uniform_base(ir::ValueId v);
  Value* uniform_at(ir::ValueId v, Value* number);
  Value* uniform_factor(ir::ValueId factor, const FactorStrides& strides, Value* result,
                        Value* depth);
  ir::ValueId plain(ir::ValueId v) const { return behind_plain_views(context_.func, defs_, v); }
  void features_in_tiles(
      int64_t count, int size, Carried& carried,
      const std::function<void(Value* first, int features, Carried& carried)>& body);

  // Elements of row values (emit_batch_rows.cpp).
  const Lanes& row_element(ir::ValueId v, int64_t j);
  Lanes compute_row(const BatchOp& b, int64_t j);
  Lanes row_contraction(const ir::Op& op, int64_t j, const Lanes* start);
  std::optional<Lanes> biased_contraction(const ir::Op& op, int64_t j);
  Lanes row_pad(const ir::Op& op, int64_t j);
  Lanes row_cumsum(const ir::Op& op, int64_t j);
  Lanes row_reduction(const ir::Op& op, int64_t j);
  Lanes row_elementwise(const ir::Op& op, int64_t j);
  Lanes load_rows(ir::ValueId v, int64_t j);
  bool has_masked_loads(DType dtype) const;
  bool load_interleaved(ir::ValueId v, int64_t features);
  Value* elements_left(int i, int64_t features);
  Value* lanes_below(Value* count);
  Value* load_one_by_one(Value* base, DType dtype, int64_t features, int64_t j, int vector);
  void store_rows(ir::ValueId v);
  bool row(ir::ValueId v) const;
  Value* mask() const { return masks_.front(); }  // of all vectors of a block of straight code
  Lanes lanes_of(ir::ValueId v, int64_t j);       // of a row value, or a uniform one repeated
  Value* row_numbers(int vector);

  // Uniform values: scalars, and vectors of consecutive elements (emit_batch_tail.cpp).
  Value* uniform_element(ir::ValueId v, int64_t j);
  Value* load_uniform(ir::ValueId v, int64_t j);
  Value* sum_of_elements(ir::ValueId v);
  Value* repeated(ir::ValueId v, int64_t j);
  void hoist_uniforms(int pass);
  void hoist_to_memory(ir::ValueId v);
  void finish_totals(int pass);
  Value* add_across(std::vector<Value*> rows);
  Value* sums_across(int pass, llvm::Type* vector, Value* first, int64_t count);
  void add_all_across(int pass);
  Value* total_rows(ir::ValueId v, Value* chunk, int count);
  Value* first_of_chunk(Value* whole);
  void emit_tail();
  struct Sink {
    ir::ValueId value;
    std::vector<Value*> to;  // addresses of element 0
  };
  void emit_sinks(const std::vector<Sink>& sinks, int64_t count);
  Value* chunk_of(ir::ValueId v, Value* chunk, int count);
  Value* compute_chunk(ir::ValueId v, Value* chunk, int count);
  Value* load_pieces(llvm::Type* element, Value* at, int count);
  void store_pieces(Value* value, Value* at, int count);
  std::vector<Value*> targets(ir::ValueId v);

  // Small pieces of IR.
  Value* i64(int64_t v) { return builder_.getInt64(static_cast<uint64_t>(v)); }
  Value* base_of(ir::ValueId entry_value);
  Value* slot_base(int slot);
  llvm::Type* vector_of(llvm::Type* element, int lanes) const;
  Value* splat(Value* x) { return builder_.CreateVectorSplat(static_cast<unsigned>(lanes_), x); }
  Value* fma(Value* a, Value* x, Value* c);
  Value* offset(Value* base, DType dtype, Value* elements);
  llvm::LLVMContext& llvm_context() const { return context_.out.getContext(); }
  const ir::Type& type(ir::ValueId v) const { return context_.func.type(v); }
  const ir::ScalarProgram& program(const ir::Op& op);

  const FunctionContext& context_;
  const ir::Op& kernel_;
  BatchForm form_;
  std::map<ir::ValueId, const BatchOp*> made_by_;
  llvm::IRBuilder<> builder_;
  llvm::IRBuilder<> entry_;  // base pointers and stack memory
  llvm::BasicBlock* start_ = nullptr;
  Value *buffers_ = nullptr, *arena_ = nullptr, *n_ = nullptr, *chunk_ = nullptr;
  Value *begin_row_ = nullptr, *end_row_ = nullptr;  // of the rows that a pass takes

  llvm::Type* total_type_ = nullptr;  // the widest row of lanes
  int lanes_ = 1;                     // rows of a vector
  int block_ = 1;                     // vectors of a full block

  // The block at hand.
  int vectors_ = 1;
  Value* first_row_ = nullptr;
  Lanes masks_;  // of each of its vectors, the lanes that are rows; null for all
  std::map<Element, Lanes> rows_;
  std::map<Element, Value*> repeated_;

  // Loops over features.
  std::vector<const ir::Op*> defs_;  // of values made in the kernel
  std::map<ir::ValueId, Kept> kept_;
  std::set<ir::ValueId> zeroed_;         // kept values whose lanes that are no rows must be zero
  std::set<ir::ValueId> here_;           // kept values that the stage at hand computes
  std::map<Element, Lanes> block_rows_;  // what stages of one tile hand to later ones
  bool one_tile_ = false;                // all features of the stage at hand are in the tile
  bool one_block_ = false;               // all rows are in the block at hand
  BatchStages stages_;                   // of the pass at hand
  int64_t piece_vectors_ = 0;            // of rows after which products over the batch are computed
  Value* piece_begin_ = nullptr;
  Value* vectors_before_ = nullptr;  // of the block, in its piece
  bool products_start_ = true;       // their totals start from nothing
  int64_t products_from_ = 0;        // the first of these totals
  Value* feature_ = nullptr;         // first one of the tile

  // Known in the whole function, once computed.
  std::map<Element, Value*> scalars_;
  std::map<ir::ValueId, std::pair<int, int64_t>> totals_;  // pass, first row of lanes
  std::map<int, Value*> accumulators_;                     // by pass: rows of lanes
  std::map<int, int64_t> total_counts_;                    // by pass: how many of them
  // Totals that are added up across lanes and chunks, in their order: in memory, or as vectors.
  Value* sums_ = nullptr;
  Lanes across_;
  std::map<ir::ValueId, Value*> finished_;  // memory of totals that later passes read
  std::map<int32_t, Value*> chunks_;        // of the chunk at hand, by value
  int chunk_lanes_ = 1;                     // of its vectors
  std::map<int, Value*> bases_;
  std::map<const ir::Op*, ir::ScalarProgram> programs_;
};

// Name of the function that a parallel kernel's tail becomes.
std::string tail_symbol(const ir::Func& func, const ir::Op& kernel);

}  // namespace sinter::compiler
