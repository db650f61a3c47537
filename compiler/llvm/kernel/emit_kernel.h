// Emits one planned kernel as one LLVM function: loops over panels of columns and blocks of rows,
// and in the middle a tile of rows x vectors whose values live in registers.
//
// Values are computed on demand: a store, a reduction or an accumulator asks for an element of the
// tile, which asks for its operands, and each is computed once per scope. Scopes nest as the loops
// do (kernel, panel, tile); what varies only along an outer loop is asked for before the inner one.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <sinter/abi.h>

#include "compiler/forms/kernel.h"
#include "compiler/llvm/emit_loop.h"
#include "compiler/llvm/product/product_parts.h"
#include "compiler/llvm/target.h"

namespace sinter::compiler {

// A buffer that is smaller stays in a near cache, in whatever order it is read, and from one step
// to the next.
inline constexpr int64_t least_far_bytes = int64_t{1} << 20;

// What all kernels of a function share.
struct FunctionContext {
  const ir::Module& module;
  const ir::Func& func;
  const Target& target;
  llvm::Module& out;
  ProductParts& parts;
  StoredValues values;
  std::map<ir::ValueId, int> touched_by;  // stored values: by how many kernels
  // Slots of the buffer array: arguments, then globals, then results.
  std::vector<int> result_slots(ir::ValueId value) const;
  int slot(ir::ValueId entry_value) const;
};

// The symbol of a kernel's code, such as `train_step.k3_contraction_update`.
std::string kernel_symbol(const ir::Func& func, const ir::Op& kernel);
// Of the sinter_kernel that says how a kernel of this symbol is called.
std::string descriptor_symbol(const std::string& kernel_symbol);
// That of sinter_kernel_body.
llvm::FunctionType* kernel_type(llvm::LLVMContext& context);

// A word of the sinter_chunk that a body is handed, at this offset.
llvm::Value* load_chunk_word(llvm::IRBuilder<>& b, llvm::Value* chunk, size_t offset);

class KernelEmitter {
 public:
  KernelEmitter(const FunctionContext& context, const ir::Op& kernel);

  llvm::Function* emit() { return emit(false); }
  // Where a kernel's buffers lie, apart from its code: slots of the buffer array and byte offsets
  // in the arena, in the order in which the code first names them.
  using Places = std::vector<int64_t>;
  // The kernel with `places` as an argument, so that kernels that do the same to other buffers have
  // equal code.
  llvm::Function* emit_movable(Places& places);
  // Then: the chunks in which it wants to be called, if it does.
  const std::optional<sinter_chunk_plan>& chunks() const { return chunks_; }
  // Bytes of its own that each thread needs at `scratch` while the kernel runs.
  int64_t scratch_bytes() const { return scratch_bytes_; }

 private:
  using Value = llvm::Value;

  // Address arithmetic of one buffer seen from the kernel: an element lies at
  // base + sum over axes of index * stride.
  struct Access {
    Value* base = nullptr;
    DType dtype = DType::f32;
    std::vector<Value*> strides;  // by axis of the reader; null where it does not vary
  };
  // The part of the domain that straight-line code computes.
  struct Tile {
    int rows = 1;
    int vectors = 1;
    Value* row = nullptr;     // first row, i64
    Value* column = nullptr;  // first column, i64
    Value* mask = nullptr;    // lanes of the last vector that exist; null for all
  };
  using Key = std::tuple<int32_t, int, int>;  // value, row, vector (-1: does not vary)
  using Scope = std::map<Key, Value*>;

  // Loops (emit_kernel.cpp).
  void choose_tile();
  void emit_rows_outer();
  void emit_panels_outer();
  void emit_scatter();
  void emit_lines();
  void line_of_sums(const Access& from, Value* offset, const Access& to, Value* at);
  void line_of_largest(const Access& from, Value* offset, const Access& to, Value* at);
  void for_panels(const std::function<void(Value* column, int vectors, Value* mask)>& body);
  void panel(Value* column, int vectors, Value* mask);
  void rows_of_panel();
  void wide_row(Value* row);
  std::pair<Value*, Value*> panels_at_hand();
  std::pair<Value*, Value*> shard_rows();
  std::pair<Value*, Value*> rows_at_hand();
  void for_parts(const std::function<void()>& body);
  std::pair<Value*, Value*> part_rows(Value* first, Value* last);
  // Whether the depth of the contraction is the rows of one part.
  bool deep_in_parts() const { return form_.parts > 1 && !form_.col_reduces; }
  void row_blocks(Value* begin, Value* end, Carried& carried,
                  const std::function<void(int rows, Value* row, Carried& carried)>& body);
  // emit_loop and emit_if with a scope of their own.
  Value* for_loop(Value* begin, Value* end, Value* step, Carried& carried,
                  const std::function<void(Value* i, Carried& carried)>& body);
  void if_then(Value* condition, const std::function<void()>& body);
  std::pair<Value*, Value*> shard(Value* units);
  Value* tail_mask(Value* left);
  int64_t static_columns() const;  // -1 when they follow the batch
  int64_t panel_columns() const { return int64_t{tile_vectors_} * lanes_; }
  // Panels of all columns, which are known; the last may be narrower.
  int64_t all_panels() const { return (static_columns() + panel_columns() - 1) / panel_columns(); }

  // A domain of one axis where that is possible (emit_flat.cpp).
  void flatten();
  bool lies_flat(ir::ValueId v, const AxisMap& axes, bool written) const;
  void fetch_columns(Value* column, Value* end);

  // Values (emit_tile.cpp).
  Value* get(ir::ValueId v, int r, int c);
  Value* compute(ir::ValueId v, int r, int c);
  Value* compute_elementwise(const KernelOp& k, int r, int c);
  Value* compute_gather(const KernelOp& k, int r, int c);
  Value* compute_pad(const KernelOp& k, int r, int c);
  uint32_t varies(ir::ValueId v) const;
  void remember(ir::ValueId v, int r, int c, Value* value);
  void ask_for(uint32_t exactly, int phase);  // computes what varies along just these axes
  void emit_stores(int phase);
  // Updates wait for the last phase: every phase reads its row from memory again.
  int store_phase(const KernelOp& k) const {
    return k.role == Role::assign ? form_.phases - 1 : k.phase;
  }
  void emit_late_stores();
  void store_all(const std::vector<const KernelOp*>& sinks);
  std::vector<Access> targets(const KernelOp& k);
  bool is_output(ir::ValueId v) const;

  // Memory (emit_memory.cpp).
  Access access_of(ir::ValueId v, const AxisMap& axes, bool through_view = false);
  ir::Shape stored_dims(const BufferAccess& access) const;
  Access make_access(const BufferAccess& found, int reader_axes);
  Access make_access(Value* base, DType dtype, const ir::Shape& dims, const std::vector<int>& axes,
                     int reader_axes);
  Value* entry_base(ir::ValueId v);
  Value* slot_base(int slot);
  Value* place(bool in_arena, int64_t at);
  llvm::Function* emit(bool movable);
  Value* arena_base(int64_t offset);
  Value* row_offset(const Access& access, Value* row);
  std::vector<Value*> row_indices(Value* row);
  Value* load(const Access& access, int r, int c);
  Value* load_vector(const Access& access, Value* offset, Value* column_stride, int lanes,
                     Value* mask, Value* columns_left);
  Value* load_scalar(const Access& access, Value* offset);
  void store(const Access& access, Value* value, int r, int c);
  Value* lanes_of(Value* x);  // a splat if it is a scalar
  Value* mask_for(int c) const { return c == tile_.vectors - 1 ? tile_.mask : nullptr; }
  Value* column_of(int c);
  Value* domain_index(int axis, int r, int c);

  // Reductions (emit_reduce.cpp): a state is one value, or value and index for argmax.
  void reduce_tile(int phase);
  Carried start_reduction(const KernelOp& k, bool vectors);
  void fold(const KernelOp& k, Value** state, Value* x, Value* index);
  void fold_tile(const KernelOp& k, Value** state, int r, int c);
  Value* finish_reduction(const KernelOp& k, Carried state);
  static int state_size(const KernelOp& k);

  // The contraction (emit_contraction.cpp).
  void choose_contraction();
  void emit_contraction();
  void outer_form();
  void dot_form();
  // Its sums computed by a function of their own (emit_product.cpp).
  bool product_apart() const;
  bool goes_by_panels() const;
  void product_blocks(Value* begin, Value* end, Carried& carried,
                      const std::function<void(int rows, Value* row, Carried& carried)>& body);
  ProductTile product_tile(int rows) const;
  void fetch_rows(Value* row, Value* rows, Value* column);
  void load_sums();
  Value* depth_offset(const Access& access, Value* k);
  Value* dot_lanes_to_columns(std::vector<Value*> sums);
  void hoist_operands();
  static bool unit_stride(const Access& access, int axis);
  bool varies_by_row(const Access& access) const;  // along any axis of the domain but the last

  // Its depth in blocks, or its rows in groups (emit_depth_blocks.cpp).
  void choose_depth_blocks();
  void for_row_groups(const std::function<void()>& body);
  void choose_row_groups();
  int64_t most_rows() const;
  void with_depth(Value* begin, Value* size, const std::function<void()>& body);
  void for_early_blocks(const std::function<void(Value* begin)>& body);
  void in_last_block(const std::function<void()>& body);
  void add_block(Value* begin);
  Value* sums_of_panel();
  Value* row_of_sums(Value* sums, Value* row);
  std::pair<Value*, Value*> panel_ahead(Value* row);
  int64_t panel_row_bytes() const;

  // Its rows outside, panels inside (emit_row_sweep.cpp).
  bool sweeps_rows() const;
  void emit_row_sweep();
  void choose_panel_groups();
  void sweep_panel_groups();
  void sweep(int64_t panels, std::pair<Value*, Value*> rows);
  std::pair<Value*, Value*> next_tile(Value* row, Value* rows);

  // With few rows, nothing is packed (emit_few_rows.cpp).
  bool has_few_rows() const;
  void sum_few_rows();
  void summed_rows(Value* begin, Value* end, Carried& carried,
                   const std::function<void(int rows, Value* row, Carried& carried)>& body);

  // Its packed operand (emit_pack.cpp).
  void choose_packing();
  int64_t panel_bytes(int vectors) const;
  bool wide_panel_is_near() const;
  Value* packed_address(Value* k, int c);
  Value* load_packed(Value* k, int c);
  void pack_panel();

  // Its chunks (product/emit_chunks.cpp).
  void choose_chunks();
  void pack_panel_of_chunk();

  // Small pieces of IR.
  Value* i64(int64_t v) { return builder_.getInt64(static_cast<uint64_t>(v)); }
  // Emitted in the entry block, so that they are at hand everywhere.
  Value* extent(const ir::Dim& d);
  Value* extent(const ir::Shape& shape, size_t from);
  llvm::Type* vector_of(llvm::Type* element, int lanes) const;
  llvm::LLVMContext& llvm_context() const { return context_.out.getContext(); }
  Value* fma(Value* a, Value* x, Value* c);
  bool by_row(uint32_t bits) const { return (bits & ~form_.columns()) != 0; }
  bool by_column(uint32_t bits) const { return (bits & form_.columns()) != 0; }

  const FunctionContext& context_;
  const ir::Op& kernel_;
  KernelForm form_;
  llvm::IRBuilder<> builder_;
  llvm::IRBuilder<> entry_;  // base pointers and extents
  Value *buffers_ = nullptr, *arena_ = nullptr, *scratch_ = nullptr, *n_ = nullptr, *tid_ = nullptr,
        *threads_ = nullptr, *chunk_ = nullptr;
  Value *rows_ = nullptr, *columns_ = nullptr;  // extent of the domain

  int lanes_ = 1;           // elements of a vector
  int tile_rows_ = 1;       // rows of a full tile
  int tile_vectors_ = 1;    // vectors of a full tile
  bool one_panel_ = false;  // a tile holds the whole row
  bool rows_outer_ = false;
  bool row_sweep_ = false;  // blocks of rows outside, panels of columns inside

  bool by_rows_ = false;   // threads share the rows, and each goes through all columns
  int64_t parts_ = 1;      // of the batch, of which a thread takes whole ones
  Value* part_ = nullptr;  // at hand, where each has its own sums

  std::optional<sinter_chunk_plan> chunks_;
  // Begin and end of the panels, and of the rows, of the chunk or group at hand; null where it has
  // all of this thread.
  std::pair<Value*, Value*> panel_range_{nullptr, nullptr}, row_range_{nullptr, nullptr};

  // How the contraction runs.
  Access factors_[2];
  ir::Shape depth_dims_;  // the summed axes
  bool dot_ = false;      // lanes lie along the summed axis instead of the columns
  int dot_lanes_ = 1;     // elements of a vector along the summed axis
  int64_t depth_ = -1;    // products per element; -1 when they follow the batch
  Value* depth_value_ = nullptr;
  int depth_split_ = 1;       // independent accumulators per element, to hide latency
  int packed_side_ = -1;      // the operand that is packed; -1 for none
  int64_t packed_depth_ = 0;  // products per element, at most
  int64_t scratch_bytes_ = 0;
  bool few_rows_ = false;         // has_few_rows(), once the tile is chosen
  bool apart_ = false;            // product_apart(), once the tile is chosen
  int64_t depth_block_ = 0;       // products of a block; 0: the whole depth is one
  bool blocks_outer_ = false;     // blocks outside, panels inside, with sums for all panels at hand
  int lines_of_call_ = 0;         // of each row of the next panel that a tile asks for; 0: none
  Value* first_panel_ = nullptr;  // of this thread
  int64_t panels_of_group_ = 0;   // that are swept together, row by row; 0: none
  int64_t rows_of_group_ = 0;     // 0: all rows are one group
  Value* sums_at_ = nullptr;      // where the sums of a tile lie, if not behind the panel
  Value* sums_ = nullptr;         // then: the sums of the row at hand, [vector]
  std::vector<Value*> hoisted_;   // column operand of [k][vector], held for the whole panel

  Tile tile_;
  std::vector<Scope> scopes_;
  std::map<int32_t, Value*> bases_;
  Value* table_ = nullptr;  // of places; null where they are constants
  std::map<std::pair<bool, int64_t>, Value*> placed_;
  Places places_;
};

}  // namespace sinter::compiler
