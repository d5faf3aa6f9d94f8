// SPDX-License-Identifier: Apache-2.0
// A template's syntax tree, and its parser.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/model/jinja/value.h"

namespace tenpak::model::jinja {

struct Expression;
using ExpressionPtr = std::shared_ptr<const Expression>;
struct Argument {
    std::string name;  ///< empty: by position
    ExpressionPtr value;
};
struct Expression {
    enum Kind { kLiteral, kName, kList, kTuple, kDict, kAttribute, kItem, kSlice, kCall, kFilter, kTest, kUnary, kBinary, kCompare, kCondition };
    Kind kind = kLiteral;
    std::size_t line = 0;
    Value literal;
    std::string name;  ///< of a name, attribute, filter, test, operator
    std::vector<ExpressionPtr> parts;  ///< operands; null where left out (slice, else of a condition)
    std::vector<Argument> arguments;
    std::vector<std::string> operators;  ///< of a chain of comparisons
    bool negated = false;                ///< is not
};

struct Statement;
using Body = std::vector<Statement>;
/// What a for or set assigns to: names, or one attribute of a namespace.
struct Target {
    std::vector<std::string> names;
    bool unpack = false;
    std::string attribute;
};
struct Parameter {
    std::string name;
    ExpressionPtr fallback;
};
struct Statement {
    enum Kind { kText, kPrint, kIf, kFor, kSet, kSetBlock, kMacro, kCallBlock, kFilterBlock, kGeneration, kBreak, kContinue };
    Kind kind = kText;
    std::size_t line = 0;
    std::string text;                       ///< of text; name of a macro
    ExpressionPtr expression, condition;    ///< condition: the if of a for
    Target target;
    std::vector<Parameter> parameters;
    std::vector<std::pair<ExpressionPtr, Body>> branches;  ///< if, elif
    Body body, otherwise;
};

/// kMalformed with the line, or kUnsupported naming a tag that is not known.
Result<std::shared_ptr<const Body>> parse_template(std::string_view source);

}  // namespace tenpak::model::jinja
