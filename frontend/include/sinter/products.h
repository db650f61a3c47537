#pragma once

#include <string_view>

#include <sinter/value.h>

namespace sinter {

/// [.., m, k] x [k, n] -> [.., m, n], or [.., m, k] x [.., k, n] -> [.., m, n] with the same
/// leading axes; floats.
Value matmul(const Operand& a, const Operand& b);
/// x W^T + bias for x [..., in], weight [out, in] and bias [out] -> [..., out] (PyTorch's layout).
Value linear(const Operand& x, const Operand& weight, const Operand& bias);
/// x W^T.
Value linear(const Operand& x, const Operand& weight);

/// Sums of products in Einstein's notation, as numpy.einsum: `einsum("bik,bkj->bij", a, b)`. A
/// letter names an axis, and axes of one name run together; letters that the result does not have
/// are summed over. Without "->" the result has the letters that appear once, in alphabetical
/// order. Several operands are multiplied from the left to the right. Products are for floats.
/// Error if the text does not parse, a letter stands twice in one operand, or sizes differ.
Value einsum(std::string_view spec, const Operand& a);
Value einsum(std::string_view spec, const Operand& a, const Operand& b);
Value einsum(std::string_view spec, const Operand& a, const Operand& b, const Operand& c);

}  // namespace sinter
