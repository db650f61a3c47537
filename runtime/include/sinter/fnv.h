#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sinter {

/// FNV-1a, 32 bits (Fowler, Noll, Vo; offset basis 2166136261, prime 16777619).
constexpr uint32_t fnv1a_32(std::string_view text) {
  uint32_t hash = 2166136261u;
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return hash;
}

inline constexpr uint64_t fnv64_basis = 14695981039346656037ull;

/// FNV-1a, 64 bits; chain calls by handing the last hash over as `hash`.
inline uint64_t hash_bytes(const void* data, size_t size, uint64_t hash = fnv64_basis) {
  const auto* bytes = static_cast<const unsigned char*>(data);
  for (size_t i = 0; i < size; ++i) hash = (hash ^ bytes[i]) * 1099511628211ull;
  return hash;
}

}  // namespace sinter
