#include "compiler/llvm/product/product_parts.h"

#include <algorithm>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <llvm/IR/IRBuilder.h>

#include "compiler/llvm/emit_loop.h"
#include "compiler/llvm/emit_scalar.h"
#include "compiler/llvm/math/vector_math.h"
#include "compiler/llvm/product/ready_parts.h"

namespace sinter::compiler {

using llvm::BasicBlock;
using llvm::Value;

using Values = std::vector<Value*>;

// A function that is being written, its element and vector types, and loops.
class PartEmitter {
 public:
  PartEmitter(llvm::Module& out, const std::string& name, llvm::ArrayRef<llvm::Type*> arguments,
              DType dtype, int lanes)
      : function(llvm::Function::Create(
            llvm::FunctionType::get(llvm::Type::getVoidTy(out.getContext()), arguments, false),
            llvm::GlobalValue::LinkOnceODRLinkage, name, out)),
        b(BasicBlock::Create(out.getContext(), "entry", function)),
        element(element_type(out.getContext(), dtype)),
        vector(llvm::FixedVectorType::get(element, static_cast<unsigned>(lanes))),
        whole_vector(dtype_size(dtype) * static_cast<size_t>(lanes)) {
    // Modules that are linked together may have the same part: one of them stays.
    function->setVisibility(llvm::GlobalValue::HiddenVisibility);
    function->addFnAttr(llvm::Attribute::NoUnwind);
  }

  Value* i64(int64_t v) { return b.getInt64(static_cast<uint64_t>(v)); }
  Value* argument(unsigned i) { return function->getArg(i); }

  // emit_loop by a number; `surely`: it is known to run.
  Value* loop(Value* begin, int by, Value* end, bool surely, Values& carried,
              const std::function<void(Value* k, Values& carried)>& body) {
    return emit_loop(b, begin, end, i64(by), carried, body, surely);
  }

  // Lanes 0 to left-1 of a vector.
  Value* first_lanes(Value* left) {
    std::vector<llvm::Constant*> numbers;
    const unsigned lanes = vector->getNumElements();
    for (unsigned i = 0; i < lanes; ++i) numbers.push_back(b.getInt32(i));
    Value* count = b.CreateTrunc(left, b.getInt32Ty());
    return b.CreateICmpSLT(llvm::ConstantVector::get(numbers), b.CreateVectorSplat(lanes, count));
  }

  // A vector from anywhere; lanes outside the mask, if there is one, are zero.
  Value* load(Value* at, Value* mask) {
    const llvm::Align one_element(element->getScalarSizeInBits() / 8);
    if (!mask) return b.CreateAlignedLoad(vector, at, one_element);
    return b.CreateMaskedLoad(vector, at, one_element, mask, llvm::Constant::getNullValue(vector));
  }

  llvm::Function* function;
  llvm::IRBuilder<> b;
  llvm::Type* element;
  llvm::FixedVectorType* vector;
  llvm::Align whole_vector;
};

namespace {

// Lines at equal distances, by a pointer to every third: a processor adds a register to an address,
// or twice that register.
struct Lines {
  static constexpr int of_pointer = 3;
  Value *stride, *two;

  Lines(PartEmitter& e, Value* stride) : stride(stride), two(e.b.CreateAdd(stride, stride)) {}
  // The i-th line, from the pointer to it or to one before.
  Value* at(PartEmitter& e, Value* pointer, int i) const {
    const int behind = i % of_pointer;
    return behind == 0 ? pointer : e.b.CreateGEP(e.element, pointer, behind == 1 ? stride : two);
  }
};

// ---- Tiles -------------------------------------------------------------------------------------

void emit_tile(PartEmitter& e, const ProductTile& tile, const Target& target) {
  llvm::IRBuilder<>& b = e.b;
  const auto stride = [&](int64_t known, unsigned argument) -> Value* {
    return known == ProductTile::any_stride ? e.argument(argument) : e.i64(known);
  };
  Value *a = e.argument(0), *panel = e.argument(3), *depth = e.argument(4), *out = e.argument(5);
  Value *row_stride = stride(tile.row_stride, 1), *depth_stride = stride(tile.depth_stride, 2);
  const auto row_at = [&](int r) {
    return b.CreateGEP(e.element, a, b.CreateMul(row_stride, e.i64(r)));
  };

  // Pointers that go along the depth: to the panel, and to rows. Rows side by side need one for
  // all.
  const bool side_by_side = tile.row_stride == 1;
  const int rows_of_pointer = side_by_side ? tile.rows : Lines::of_pointer;
  const Lines row_lines(e, row_stride);
  Values pointers{panel};
  // Where a factor may be one element of a register, every row has a pointer that stays and only an
  // offset goes along: LLVM would load from a pointer that moves into all lanes of a vector at once
  // (ld1r), which takes a place among the products. Rows side by side are loaded as vectors.
  Values rows;
  if (target.by_element) {
    pointers.push_back(e.i64(0));
    for (int r = 0; r < tile.rows; ++r) rows.push_back(row_at(r));
  } else {
    for (int r = 0; r < tile.rows; r += rows_of_pointer) pointers.push_back(row_at(r));
  }
  const size_t ahead_at = pointers.size();
  if (tile.fetches > 0) pointers.push_back(e.argument(6));
  const size_t sums_at = pointers.size();

  const auto at = [&](int u, int r, int v) {
    return sums_at + static_cast<size_t>((u * tile.rows + r) * tile.vectors + v);
  };
  // The factor of row r, in all lanes, `ahead` of the pointers.
  const auto in_all_lanes = [&](int ahead, Value* along, int r, const Values& carried) {
    Value* first = carried[static_cast<size_t>(1 + r / rows_of_pointer)];
    if (ahead > 0) first = b.CreateGEP(e.element, first, along);
    Value* where =
        side_by_side ? b.CreateGEP(e.element, first, e.i64(r)) : row_lines.at(e, first, r);
    return b.CreateVectorSplat(static_cast<unsigned>(tile.lanes), b.CreateLoad(e.element, where));
  };
  // The same as an element of a register; `loaded` holds the vector of rows at hand.
  const auto as_element = [&](Value* offset, int r, Value*& loaded) {
    const auto from = [&](int row) {
      return b.CreateGEP(e.element, rows[static_cast<size_t>(row)], offset);
    };
    if (!side_by_side || tile.rows < tile.lanes) {
      return b.CreateVectorSplat(static_cast<unsigned>(tile.lanes),
                                 b.CreateLoad(e.element, from(r)));
    }
    // The last vector ends with the last row.
    const int first = std::min(r / tile.lanes * tile.lanes, tile.rows - tile.lanes);
    if (r % tile.lanes == 0) loaded = e.load(from(first), nullptr);
    const std::vector<int> lane(static_cast<size_t>(tile.lanes), r - first);
    return b.CreateShuffleVector(loaded, lane);
  };
  // Adds the products `ahead` of the pointers to the u-th chain of sums.
  const auto step = [&](int ahead, int u, Values& carried) {
    Values columns;
    for (int v = 0; v < tile.vectors; ++v) {
      Value* where = b.CreateGEP(e.vector, carried[0], e.i64(ahead * tile.vectors + v));
      columns.push_back(b.CreateAlignedLoad(e.vector, where, e.whole_vector));
    }
    if (tile.fetches > 0) {
      Value* lines = b.CreateMul(e.argument(7), e.i64(ahead));
      emit_prefetch(b, b.CreateGEP(e.element, carried[ahead_at], lines), tile.fetches * cache_line,
                    false);
    }
    Value *along = b.CreateMul(e.i64(ahead), depth_stride), *loaded = nullptr;
    Value* offset = target.by_element ? b.CreateAdd(carried[1], along) : nullptr;
    for (int r = 0; r < tile.rows; ++r) {
      Value* factor =
          offset ? as_element(offset, r, loaded) : in_all_lanes(ahead, along, r, carried);
      for (int v = 0; v < tile.vectors; ++v) {
        Value*& sum = carried[at(u, r, v)];
        sum = emit_fma(b, target.fma, factor, columns[static_cast<size_t>(v)], sum);
      }
    }
  };
  const auto advance = [&](int by, Values& carried) {
    carried[0] = b.CreateGEP(e.vector, carried[0], e.i64(by * tile.vectors));
    Value* along = b.CreateMul(e.i64(by), depth_stride);
    if (tile.fetches > 0) {
      Value* lines = b.CreateMul(e.argument(7), e.i64(by));
      carried[ahead_at] = b.CreateGEP(e.element, carried[ahead_at], lines);
    }
    for (size_t i = 1; i < ahead_at; ++i) {
      carried[i] = target.by_element ? b.CreateAdd(carried[i], along)
                                     : b.CreateGEP(e.element, carried[i], along);
    }
  };
  const auto place = [&](int r, int v) {
    return b.CreateGEP(e.vector, out, e.i64(r * tile.vectors + v));
  };
  Values sums = pointers;
  sums.resize(at(tile.depth_split, 0, 0), llvm::Constant::getNullValue(e.vector));
  for (int r = 0; tile.adds && r < tile.rows; ++r) {
    for (int v = 0; v < tile.vectors; ++v) {
      sums[at(0, r, v)] = b.CreateAlignedLoad(e.vector, place(r, v), e.whole_vector);
    }
  }
  // Full tiles, and those with few products for each k, take two k a round, so that what else the
  // loop does shows less; the others are seldom used and their code shorter.
  const int chains = tile.rows * tile.vectors;
  const bool two = chains >= 20 || (chains >= 8 && chains <= 12);
  const int round = tile.depth_split > 1 ? tile.depth_split : two ? 2 : 1;
  Value* left = e.loop(e.i64(0), round, depth, false, sums, [&](Value*, Values& inside) {
    for (int u = 0; u < round; ++u) step(u, tile.depth_split > 1 ? u : 0, inside);
    advance(round, inside);
  });
  if (round > 1) {
    e.loop(left, 1, depth, false, sums, [&](Value*, Values& inside) {
      step(0, 0, inside);
      advance(1, inside);
    });
  }
  for (int r = 0; r < tile.rows; ++r) {
    for (int v = 0; v < tile.vectors; ++v) {
      Value* total = sums[at(0, r, v)];
      for (int u = 1; u < tile.depth_split; ++u) total = b.CreateFAdd(total, sums[at(u, r, v)]);
      b.CreateAlignedStore(total, place(r, v), e.whole_vector);
    }
  }
  b.CreateRetVoid();
}

void emit_dots(PartEmitter& e, const DotTile& tile, bool fused) {
  llvm::IRBuilder<>& b = e.b;
  const Lines rows(e, e.argument(1)), columns(e, e.argument(3));
  const auto pointers = [&](Value* first, const Lines& lines, int count, Values& out) {
    const size_t at = out.size();
    for (int i = 0; i < count; i += Lines::of_pointer) {
      out.push_back(b.CreateGEP(e.element, first, b.CreateMul(lines.stride, e.i64(i))));
    }
    return at;
  };
  Values carried;
  const size_t a_at = pointers(e.argument(0), rows, tile.rows, carried);
  const size_t b_at = pointers(e.argument(2), columns, tile.columns, carried);
  const size_t ahead_at = pointers(e.argument(6), columns, tile.fetches, carried);
  const size_t sums_at = carried.size();
  const auto place = [&](int i) { return b.CreateGEP(e.vector, e.argument(5), e.i64(i)); };
  const int sums = tile.rows * tile.columns;
  for (int i = 0; i < sums; ++i) {
    carried.push_back(b.CreateAlignedLoad(e.vector, place(i), e.whole_vector));
  }
  e.loop(e.i64(0), 1, e.argument(4), true, carried, [&](Value*, Values& inside) {
    const auto line = [&](size_t at, const Lines& lines, int i) {
      return lines.at(e, inside[at + static_cast<size_t>(i / Lines::of_pointer)], i);
    };
    Values factors;
    for (int r = 0; r < tile.rows; ++r) factors.push_back(e.load(line(a_at, rows, r), nullptr));
    for (int c = 0; c < tile.columns; ++c) {
      Value* column = e.load(line(b_at, columns, c), nullptr);
      if (c < tile.fetches) emit_prefetch(b, line(ahead_at, columns, c), 1, false);
      for (int r = 0; r < tile.rows; ++r) {
        Value*& sum = inside[sums_at + static_cast<size_t>(r * tile.columns + c)];
        sum = emit_fma(b, fused, factors[static_cast<size_t>(r)], column, sum);
      }
    }
    for (size_t i = 0; i < sums_at; ++i) {
      inside[i] = b.CreateGEP(e.vector, inside[i], e.i64(1));
    }
  });
  for (int i = 0; i < sums; ++i) {
    b.CreateAlignedStore(carried[sums_at + static_cast<size_t>(i)], place(i), e.whole_vector);
  }
  b.CreateRetVoid();
}

// ---- Packers -----------------------------------------------------------------------------------

// Elements ahead along a line, and rows ahead, of what is copied.
constexpr int64_t line_ahead = 64, rows_ahead = 16;

// Exchanges rows and columns of a square of vectors, in log2(lanes) rounds of pairwise exchanges.
void transpose_square(llvm::IRBuilder<>& builder, Values& rows) {
  const auto lanes = static_cast<int>(rows.size());
  for (int distance = lanes / 2; distance > 0; distance /= 2) {
    std::vector<int> low, high;
    for (int j = 0; j < lanes; ++j) {
      const bool first = (j & distance) == 0;
      low.push_back(first ? j : lanes + j - distance);
      high.push_back(first ? j + distance : lanes + j);
    }
    for (int i = 0; i < lanes; ++i) {
      if (i & distance) continue;
      Value *&a = rows[static_cast<size_t>(i)], *&b = rows[static_cast<size_t>(i + distance)];
      Value* const upper = builder.CreateShuffleVector(a, b, low);
      b = builder.CreateShuffleVector(a, b, high);
      a = upper;
    }
  }
}

// Lanes run along the columns in memory, as in the panel.
void emit_pack_along(PartEmitter& e, const PanelPacker& packer) {
  llvm::IRBuilder<>& b = e.b;
  Value *from = e.argument(0), *stride = e.argument(1), *depth = e.argument(2),
        *columns = e.argument(3), *panel = e.argument(4);
  Values none;
  e.loop(e.i64(0), 1, depth, true, none, [&](Value* k, Values&) {
    Value* row = b.CreateGEP(e.element, from, b.CreateMul(k, stride));
    if (packer.fetches_next) {
      const int64_t vector_bytes = static_cast<int64_t>(e.whole_vector.value());
      const int64_t bytes = packer.vectors * vector_bytes;
      emit_prefetch(b, b.CreateGEP(b.getInt8Ty(), row, e.i64(bytes)), bytes, false);
    } else {
      // Not past the end: the rows there may be another thread's, which is about to write them.
      Value* ahead = b.CreateAdd(k, e.i64(rows_ahead));
      ahead = b.CreateSelect(b.CreateICmpSLT(ahead, depth), ahead, k);
      emit_prefetch(b, b.CreateGEP(e.element, from, b.CreateMul(ahead, stride)), 1, false);
    }
    for (int v = 0; v < packer.vectors; ++v) {
      const int first = v * packer.lanes;
      Value* left = packer.columns == PanelPacker::any_count
                        ? b.CreateSub(columns, e.i64(first))
                        : static_cast<Value*>(e.i64(packer.columns - first));
      auto* known = llvm::dyn_cast<llvm::ConstantInt>(left);
      const bool whole = known && known->getSExtValue() >= packer.lanes;
      Value* x =
          e.load(b.CreateGEP(e.element, row, e.i64(first)), whole ? nullptr : e.first_lanes(left));
      Value* number = b.CreateAdd(b.CreateMul(k, e.i64(packer.vectors)), e.i64(v));
      b.CreateAlignedStore(x, b.CreateGEP(e.vector, panel, number), e.whole_vector);
    }
  });
  b.CreateRetVoid();
}

// Lanes run along the summed axis in memory, and along the columns in the panel.
void emit_pack_across(PartEmitter& e, const PanelPacker& packer, bool cheap_masks) {
  llvm::IRBuilder<>& b = e.b;
  Value *from = e.argument(0), *stride = e.argument(1), *depth = e.argument(2),
        *columns = e.argument(3), *panel = e.argument(4), *vectors = e.argument(5);
  Value* last = b.CreateSub(columns, e.i64(1));
  Value* row_bytes = b.CreateMul(vectors, e.i64(static_cast<int64_t>(e.whole_vector.value())));
  Values none;
  e.loop(e.i64(0), 1, vectors, true, none, [&](Value* v, Values&) {
    Value* first = b.CreateMul(v, e.i64(packer.lanes));
    Value* start = b.CreateGEP(e.element, from, b.CreateMul(first, stride));
    Values starts;
    for (int j = 0; j < packer.lanes; ++j) {
      starts.push_back(start);
      Value* more = b.CreateICmpSLT(b.CreateAdd(first, e.i64(j)), last);
      start = b.CreateGEP(e.element, start, b.CreateSelect(more, stride, e.i64(0)));
    }
    const auto square = [&](Value* k, Value* mask) {
      Values rows;
      for (Value* start : starts) {
        Value* at = b.CreateGEP(e.element, start, k);
        emit_prefetch(b, b.CreateGEP(e.element, at, e.i64(line_ahead)), 1, false);
        rows.push_back(e.load(at, mask));
      }
      transpose_square(b, rows);
      Value* to = b.CreateGEP(e.vector, panel, b.CreateAdd(b.CreateMul(k, vectors), v));
      for (Value* row : rows) {
        b.CreateAlignedStore(row, to, e.whole_vector);
        to = b.CreateGEP(b.getInt8Ty(), to, row_bytes);
      }
    };
    Values nothing;
    if (cheap_masks) {  // one body for whole squares and for the last one
      Value* end = b.CreateAdd(depth, e.i64(packer.lanes - 1));
      e.loop(e.i64(0), packer.lanes, end, true, nothing,
             [&](Value* k, Values&) { square(k, e.first_lanes(b.CreateSub(depth, k))); });
      return;
    }
    Value* done = e.loop(e.i64(0), packer.lanes, depth, false, nothing,
                         [&](Value* k, Values&) { square(k, nullptr); });
    Value* left = b.CreateSub(depth, done);
    emit_if(b, b.CreateICmpSGT(left, e.i64(0)), [&] { square(done, e.first_lanes(left)); });
  });
  b.CreateRetVoid();
}

// What all parts take: pointers and words.
std::pair<llvm::Type*, llvm::Type*> argument_types(llvm::LLVMContext& context) {
  return {llvm::PointerType::getUnqual(context), llvm::Type::getInt64Ty(context)};
}

}  // namespace

int full_tile_rows(const Target& target, int vectors) {
  constexpr int most_rows = 12;
  return std::clamp(target.accumulators() / vectors, 1, most_rows);
}

std::vector<int> tile_sizes(int full_rows) {
  std::vector<int> out;
  for (int size = 1; size < full_rows; size *= 2) out.push_back(size);
  out.push_back(full_rows);
  return out;
}

// The part of this name: `emit` writes it, unless it is ready.
llvm::Function* ProductParts::part(const std::string& name, llvm::ArrayRef<llvm::Type*> arguments,
                                   DType dtype, int lanes,
                                   const std::function<void(PartEmitter&)>& emit) {
  const bool ready = std::any_of(ready_.begin(), ready_.end(),
                                 [&](const ReadyPart& part) { return part.name == name; });
  if (ready) {
    auto* type =
        llvm::FunctionType::get(llvm::Type::getVoidTy(out_.getContext()), arguments, false);
    auto* function = llvm::Function::Create(type, llvm::GlobalValue::ExternalLinkage, name, out_);
    function->addFnAttr(llvm::Attribute::NoUnwind);
    return function;
  }
  PartEmitter e(out_, name, arguments, dtype, lanes);
  emit(e);
  return e.function;
}

llvm::Function* ProductParts::get(const ProductTile& tile) {
  llvm::Function*& function = tiles_[tile];
  if (function) return function;
  const auto stride = [](int64_t s) {
    return s == ProductTile::any_stride ? std::string("any") : std::to_string(s);
  };
  std::string name =
      fmt::format("tile_{}x{}x{}_{}_{}_{}", tile.rows, tile.vectors, tile.lanes,
                  dtype_name(tile.dtype), stride(tile.row_stride), stride(tile.depth_stride));
  if (tile.depth_split > 1) name += fmt::format("_split{}", tile.depth_split);
  if (tile.adds) name += "_adds";
  if (tile.fetches > 0) name += fmt::format("_ahead{}", tile.fetches);
  const auto [pointer, word] = argument_types(out_.getContext());
  std::vector<llvm::Type*> arguments{pointer, word, word, pointer, word, pointer};
  if (tile.fetches > 0) arguments.insert(arguments.end(), {pointer, word});
  function = part(name, arguments, tile.dtype, tile.lanes,
                  [&](PartEmitter& e) { emit_tile(e, tile, target_); });
  return function;
}

llvm::Function* ProductParts::get(const DotTile& tile) {
  llvm::Function*& function = dots_[tile];
  if (function) return function;
  const auto [pointer, word] = argument_types(out_.getContext());
  function = part(fmt::format("dots_{}x{}x{}_{}_ahead{}", tile.rows, tile.columns, tile.lanes,
                              dtype_name(tile.dtype), tile.fetches),
                  {pointer, word, pointer, word, word, pointer, pointer}, tile.dtype, tile.lanes,
                  [&](PartEmitter& e) { emit_dots(e, tile, target_.fma); });
  return function;
}

llvm::Function* ProductParts::get(const PanelPacker& packer) {
  llvm::Function*& function = packers_[packer];
  if (function) return function;
  std::string name = fmt::format("pack_{}_{}_{}", packer.across ? "across" : "along", packer.lanes,
                                 dtype_name(packer.dtype));
  if (!packer.across) name += fmt::format("_{}", packer.vectors);
  if (packer.columns != PanelPacker::any_count) name += fmt::format("_of_{}", packer.columns);
  if (packer.fetches_next) name += "_ahead";
  const auto [pointer, word] = argument_types(out_.getContext());
  function = part(name, {pointer, word, word, word, pointer, word}, packer.dtype, packer.lanes,
                  [&](PartEmitter& e) {
                    if (packer.across) {
                      emit_pack_across(e, packer, target_.vector_bytes >= 32);
                    } else {
                      emit_pack_along(e, packer);
                    }
                  });
  return function;
}

}  // namespace sinter::compiler
