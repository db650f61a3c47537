// einsum: operands are multiplied one after the other; letters that nothing needs any more are
// summed over as soon as possible.
#include <algorithm>
#include <string>

#include <sinter/error.h>
#include <sinter/products.h>

#include "frontend/recording.h"
#include "ir/op.h"

namespace sinter {

using detail::Recorder;
using ir::Expr;
using ir::OpKind;

namespace {

bool has(const std::string& letters, char c) { return letters.find(c) != std::string::npos; }

// An operand and the letter of each of its axes.
struct Term {
  Expr x;
  std::string letters;

  int64_t axis(char c) const { return static_cast<int64_t>(letters.find(c)); }
  ir::Dim size(char c) const { return x.type().shape[letters.find(c)]; }
};

// x with its axes in this order of letters.
Term ordered(const Term& t, const std::string& letters) {
  std::vector<int64_t> order;
  for (char c : letters) order.push_back(t.axis(c));
  return {transpose(t.x, std::move(order)), letters};
}

// Without the letters that are not in `needed`.
Term reduced(const Term& t, const std::string& needed) {
  std::vector<int64_t> axes;
  std::string left;
  for (size_t i = 0; i < t.letters.size(); ++i) {
    if (has(needed, t.letters[i])) {
      left += t.letters[i];
    } else {
      axes.push_back(static_cast<int64_t>(i));
    }
  }
  return {sum(t.x, std::move(axes), false), left};
}

// The product of two; letters of both that are not in `needed` are summed over.
Term product(const Term& a, const Term& b, const std::string& needed) {
  std::string batch, summed, a_free, b_free;
  for (char c : a.letters) {
    (!has(b.letters, c) ? a_free : has(needed, c) ? batch : summed) += c;
  }
  for (char c : b.letters) {
    if (!has(a.letters, c)) b_free += c;
  }
  const std::string letters = batch + a_free + b_free;
  if (summed.empty()) {  // an elementwise product, which fuses as any other
    const Term left = ordered(a, batch + a_free), right = ordered(b, batch + b_free);
    ir::Shape shape = left.x.type().shape, other;
    shape.resize(letters.size(), ir::Dim{1});
    for (char c : batch) other.push_back(right.size(c));
    other.resize(batch.size() + a_free.size(), ir::Dim{1});
    for (char c : b_free) other.push_back(right.size(c));
    return {reshape(left.x, std::move(shape)) * reshape(right.x, std::move(other)), letters};
  }
  std::vector<int64_t> a_sum, b_sum, a_batch, b_batch;
  for (char c : summed) {
    a_sum.push_back(a.axis(c));
    b_sum.push_back(b.axis(c));
  }
  for (char c : batch) {
    a_batch.push_back(a.axis(c));
    b_batch.push_back(b.axis(c));
  }
  return {
      a.x.builder().apply(OpKind::contraction, {a.x, b.x},
                          {{"a", a_sum}, {"b", b_sum}, {"a_batch", a_batch}, {"b_batch", b_batch}}),
      letters};
}

// "bik,bkj->bij" as the letters of each operand and of the result.
struct Spec {
  std::vector<std::string> operands;
  std::string result;
};

Spec parse(std::string_view text, const SourceLoc& at) {
  const auto refuse = [&](const std::string& why, const std::string& fix) {
    throw Error("einsum \"{}\" {}", text, why).at(at).help(fix);
  };
  std::string plain;
  for (char c : text) {
    if (c != ' ') plain += c;
  }
  const size_t arrow = plain.find("->");
  Spec out;
  out.operands.emplace_back();
  for (char c : plain.substr(0, arrow)) {
    if (c == ',') {
      out.operands.emplace_back();
    } else {
      out.operands.back() += c;
    }
  }
  if (arrow != std::string::npos) out.result = plain.substr(arrow + 2);
  std::string all;
  for (const std::string& letters : out.operands) all += letters;
  for (char c : all + out.result) {
    if ((c < 'a' || c > 'z') && (c < 'A' || c > 'Z')) {
      refuse(fmt::format("cannot be read at '{}'", c),
             "write a letter for each axis, commas between operands, and one -> before the result");
    }
  }
  for (const std::string& letters : out.operands) {
    for (char c : letters) {
      if (std::count(letters.begin(), letters.end(), c) > 1) {
        refuse(fmt::format("names {} twice in one operand", c),
               "give each axis of an operand a letter of its own");
      }
    }
  }
  if (arrow == std::string::npos) {
    std::sort(all.begin(), all.end());
    for (char c : all) {
      if (std::count(all.begin(), all.end(), c) == 1) out.result += c;
    }
  }
  for (char c : out.result) {
    if (!has(all, c)) {
      refuse(fmt::format("has {} in its result only", c),
             "the result takes letters of the operands");
    }
    if (std::count(out.result.begin(), out.result.end(), c) > 1) {
      refuse(fmt::format("names {} twice in its result", c), "name each axis of the result once");
    }
  }
  return out;
}

Value einsum_of(std::string_view text, Recorder& r, size_t count) {
  const SourceLoc at = r.loc().source();
  const Spec spec = parse(text, at);
  if (spec.operands.size() != count) {
    throw Error("einsum \"{}\" names {} operands but gets {}", text, spec.operands.size(), count)
        .at(at)
        .help("separate the letters of each operand by commas");
  }
  std::vector<Term> terms;
  for (size_t i = 0; i < count; ++i) {
    const Term term{r[i], spec.operands[i]};
    if (static_cast<size_t>(term.x.type().rank()) != term.letters.size()) {
      throw Error("einsum \"{}\" names {} axes of {}", text, term.letters.size(),
                  ir::to_string(term.x.type()))
          .at(at)
          .help("write one letter for each of its {} axes", term.x.type().rank());
    }
    for (const Term& other : terms) {
      for (char c : term.letters) {
        if (!has(other.letters, c) || other.size(c) == term.size(c)) continue;
        throw Error("einsum \"{}\": {} is {} in {} but {} in {}", text, c,
                    ir::to_string(other.size(c)), ir::to_string(other.x.type()),
                    ir::to_string(term.size(c)), ir::to_string(term.x.type()))
            .at(at)
            .help("axes of one letter have one size");
      }
    }
    terms.push_back(term);
  }
  // Letters that the result or an operand from i on has.
  const auto needed_from = [&](size_t i) {
    std::string out = spec.result;
    for (; i < count; ++i) out += terms[i].letters;
    return out;
  };
  Term total = reduced(terms[0], needed_from(1));
  for (size_t i = 1; i < count; ++i) {
    const std::string later = needed_from(i + 1);
    total = product(total, reduced(terms[i], total.letters + later), later);
    total = reduced(total, later);
  }
  return r.done(ordered(total, spec.result).x);
}

}  // namespace

Value einsum(std::string_view spec, const Operand& a) {
  Recorder r({&a});
  return einsum_of(spec, r, 1);
}
Value einsum(std::string_view spec, const Operand& a, const Operand& b) {
  Recorder r({&a, &b});
  return einsum_of(spec, r, 2);
}
Value einsum(std::string_view spec, const Operand& a, const Operand& b, const Operand& c) {
  Recorder r({&a, &b, &c});
  return einsum_of(spec, r, 3);
}

}  // namespace sinter
