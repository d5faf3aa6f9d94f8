// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>

#include "core/model/jinja/lexer.h"
#include "core/model/jinja/syntax.h"

namespace tenpak::model::jinja {
namespace {

constexpr int kMaxDepth = 80;

class Parser {
   public:
    explicit Parser(std::vector<LexToken> tokens) : t_(std::move(tokens)) {}

    Result<std::shared_ptr<const Body>> run() {
        auto body = std::make_shared<Body>();
        std::string end;
        TENPAK_RETURN_IF_ERROR(parse_body({}, *body, end));
        return std::shared_ptr<const Body>(std::move(body));
    }

   private:
    const LexToken& now() const { return t_[at_]; }
    const LexToken& ahead(std::size_t n) const { return t_[std::min(at_ + n, t_.size() - 1)]; }
    bool is_operator(std::string_view text) const { return now().kind == TokenKind::kOperator && now().text == text; }
    bool is_name(std::string_view text) const { return now().kind == TokenKind::kName && now().text == text; }
    bool take_operator(std::string_view text) { return is_operator(text) && (++at_, true); }
    bool take_name(std::string_view text) { return is_name(text) && (++at_, true); }
    Error error(const std::string& what) const { return template_error(what + " (line " + std::to_string(now().line) + ")"); }
    Status expect_operator(std::string_view text) {
        if (take_operator(text)) return {};
        return error("\"" + std::string(text) + "\" is missing");
    }
    Result<std::string> expect_name() {
        if (now().kind != TokenKind::kName) return error("a name is missing");
        return t_[at_++].text;
    }
    Status expect_block_end() {
        if (now().kind != TokenKind::kBlockEnd) return error("unexpected \"" + now().text + "\" in a tag");
        ++at_;
        return {};
    }
    std::shared_ptr<Expression> make(Expression::Kind kind) const {
        auto e = std::make_shared<Expression>();
        e->kind = kind;
        e->line = now().line;
        return e;
    }
    struct Deeper {
        explicit Deeper(int& d) : depth(++d) {}
        ~Deeper() { --depth; }
        Deeper(const Deeper&) = delete;
        Deeper& operator=(const Deeper&) = delete;
        int& depth;
    };

    /// Up to a tag of `ends`, whose name comes back in `end`; its own tokens behind the name are left.
    Status parse_body(const std::vector<std::string>& ends, Body& body, std::string& end) {
        const Deeper deeper(depth_);
        if (depth_ > kMaxDepth) return error("it is nested too deep");
        while (true) {
            Statement s;
            s.line = now().line;
            switch (now().kind) {
                case TokenKind::kText:
                    s.kind = Statement::kText;
                    s.text = t_[at_++].text;
                    body.push_back(std::move(s));
                    break;
                case TokenKind::kPrintBegin: {
                    ++at_;
                    s.kind = Statement::kPrint;
                    TENPAK_ASSIGN(s.expression, tuple());
                    if (now().kind != TokenKind::kPrintEnd) return error("unexpected \"" + now().text + "\" in {{ }}");
                    ++at_;
                    body.push_back(std::move(s));
                    break;
                }
                case TokenKind::kBlockBegin: {
                    ++at_;
                    TENPAK_ASSIGN(const std::string name, expect_name());
                    if (std::find(ends.begin(), ends.end(), name) != ends.end()) {
                        end = name;
                        return {};
                    }
                    TENPAK_RETURN_IF_ERROR(statement(name, s));
                    body.push_back(std::move(s));
                    break;
                }
                case TokenKind::kEnd:
                    if (!ends.empty()) return error("\"" + ends.back() + "\" is missing");
                    return {};
                default: return error("unexpected \"" + now().text + "\"");
            }
        }
    }
    Status closed_body(const std::string& end, Body& body) {
        std::string found;
        TENPAK_RETURN_IF_ERROR(parse_body({end}, body, found));
        return expect_block_end();
    }

    Status statement(const std::string& name, Statement& s) {
        if (name == "if") return parse_if(s);
        if (name == "for") return parse_for(s);
        if (name == "set") return parse_set(s);
        if (name == "macro") return parse_macro(s);
        if (name == "generation") {
            s.kind = Statement::kGeneration;
            TENPAK_RETURN_IF_ERROR(expect_block_end());
            return closed_body("endgeneration", s.body);
        }
        if (name == "break" || name == "continue") {
            s.kind = name == "break" ? Statement::kBreak : Statement::kContinue;
            return expect_block_end();
        }
        if (name == "call") {
            s.kind = Statement::kCallBlock;
            if (is_operator("(")) {
                TENPAK_RETURN_IF_ERROR(parse_parameters(s));
            }
            TENPAK_ASSIGN(s.expression, expression());
            if (s.expression->kind != Expression::kCall) return error("a call tag calls nothing");
            TENPAK_RETURN_IF_ERROR(expect_block_end());
            return closed_body("endcall", s.body);
        }
        if (name == "filter") {
            s.kind = Statement::kFilterBlock;
            auto text = make(Expression::kName);
            text->name = "\x01text";  // no template's own name: where the body's text will be
            TENPAK_ASSIGN(s.expression, filters(text, true));
            TENPAK_RETURN_IF_ERROR(expect_block_end());
            return closed_body("endfilter", s.body);
        }
        return make_error(ErrorCode::kUnsupported, "the chat template uses the tag \"" + name + "\", which is not supported (line " + std::to_string(now().line) + ")", {},
                          "Known: if, for, set, macro, call, filter, generation, break, continue, raw");
    }

    Status parse_if(Statement& s) {
        s.kind = Statement::kIf;
        std::string end = "elif";
        while (end == "elif") {
            s.branches.emplace_back();
            TENPAK_ASSIGN(s.branches.back().first, tuple());
            TENPAK_RETURN_IF_ERROR(expect_block_end());
            TENPAK_RETURN_IF_ERROR(parse_body({"elif", "else", "endif"}, s.branches.back().second, end));
        }
        if (end == "endif") return expect_block_end();
        TENPAK_RETURN_IF_ERROR(expect_block_end());
        return closed_body("endif", s.otherwise);
    }

    Status parse_target(Target& target, bool attribute_allowed) {
        const bool bracket = take_operator("(");
        do {
            if (!target.names.empty() && now().kind != TokenKind::kName) break;  // "a, in"
            TENPAK_ASSIGN(auto name, expect_name());
            target.names.push_back(std::move(name));
            if (attribute_allowed && target.names.size() == 1 && take_operator(".")) {
                TENPAK_ASSIGN(target.attribute, expect_name());
                return {};
            }
            if (!is_operator(",")) break;
            target.unpack = true;
        } while (take_operator(","));
        return bracket ? expect_operator(")") : Status();
    }

    Status parse_for(Statement& s) {
        s.kind = Statement::kFor;
        TENPAK_RETURN_IF_ERROR(parse_target(s.target, false));
        if (!take_name("in")) return error("\"in\" is missing");
        no_condition_ = true;  // the "if" behind it filters
        auto items = tuple();
        no_condition_ = false;
        if (!items.ok()) return std::move(items).error();
        s.expression = *items;
        if (take_name("if")) {
            TENPAK_ASSIGN(s.condition, expression());
        }
        if (is_name("recursive")) return make_error(ErrorCode::kUnsupported, "the chat template uses a recursive loop, which is not supported");
        TENPAK_RETURN_IF_ERROR(expect_block_end());
        std::string end;
        TENPAK_RETURN_IF_ERROR(parse_body({"else", "endfor"}, s.body, end));
        TENPAK_RETURN_IF_ERROR(expect_block_end());
        return end == "else" ? closed_body("endfor", s.otherwise) : Status();
    }

    Status parse_set(Statement& s) {
        TENPAK_RETURN_IF_ERROR(parse_target(s.target, true));
        if (take_operator("=")) {
            s.kind = Statement::kSet;
            TENPAK_ASSIGN(s.expression, tuple());
            return expect_block_end();
        }
        s.kind = Statement::kSetBlock;
        if (is_operator("|")) {
            auto text = make(Expression::kName);
            text->name = "\x01text";
            TENPAK_ASSIGN(s.expression, filters(text, false));
        }
        TENPAK_RETURN_IF_ERROR(expect_block_end());
        return closed_body("endset", s.body);
    }

    Status parse_parameters(Statement& s) {
        TENPAK_RETURN_IF_ERROR(expect_operator("("));
        while (!take_operator(")")) {
            Parameter p;
            TENPAK_ASSIGN(p.name, expect_name());
            if (take_operator("=")) {
                TENPAK_ASSIGN(p.fallback, expression());
            }
            s.parameters.push_back(std::move(p));
            if (!is_operator(")")) TENPAK_RETURN_IF_ERROR(expect_operator(","));
        }
        return {};
    }

    Status parse_macro(Statement& s) {
        s.kind = Statement::kMacro;
        TENPAK_ASSIGN(s.text, expect_name());
        TENPAK_RETURN_IF_ERROR(parse_parameters(s));
        TENPAK_RETURN_IF_ERROR(expect_block_end());
        return closed_body("endmacro", s.body);
    }

    using Parsed = Result<ExpressionPtr>;

    /// Expressions with commas between them are one tuple.
    Parsed tuple() {
        TENPAK_ASSIGN(ExpressionPtr first, expression());
        if (!is_operator(",")) return first;
        auto e = make(Expression::kTuple);
        e->parts.push_back(std::move(first));
        while (take_operator(",")) {
            if (now().kind == TokenKind::kBlockEnd || now().kind == TokenKind::kPrintEnd || is_operator(")")) break;
            TENPAK_ASSIGN(ExpressionPtr next, expression());
            e->parts.push_back(std::move(next));
        }
        return ExpressionPtr(std::move(e));
    }

    Parsed expression() {
        const Deeper deeper(depth_);
        if (depth_ > kMaxDepth) return error("an expression is nested too deep");
        TENPAK_ASSIGN(ExpressionPtr value, or_expression());
        while (!no_condition_ && take_name("if")) {
            auto e = make(Expression::kCondition);
            TENPAK_ASSIGN(ExpressionPtr test, or_expression());
            ExpressionPtr otherwise;
            if (take_name("else")) {
                TENPAK_ASSIGN(otherwise, expression());
            }
            e->parts = {std::move(test), std::move(value), std::move(otherwise)};
            value = std::move(e);
        }
        return value;
    }

    Parsed binary(const std::string& op, ExpressionPtr left, ExpressionPtr right) {
        auto e = make(Expression::kBinary);
        e->name = op;
        e->parts = {std::move(left), std::move(right)};
        return ExpressionPtr(std::move(e));
    }
    template <class Next>
    Parsed chain(const std::vector<std::string>& operators, bool names, Next next) {
        TENPAK_ASSIGN(ExpressionPtr left, (this->*next)());
        for (int links = 0;; ++links) {
            const auto it = std::find_if(operators.begin(), operators.end(), [&](const auto& o) { return names ? is_name(o) : is_operator(o); });
            if (it == operators.end()) return left;
            if (links > 500) return error("an expression is too long");
            ++at_;
            TENPAK_ASSIGN(ExpressionPtr right, (this->*next)());
            TENPAK_ASSIGN(left, binary(*it, std::move(left), std::move(right)));
        }
    }
    Parsed or_expression() { return chain({"or"}, true, &Parser::and_expression); }
    Parsed and_expression() { return chain({"and"}, true, &Parser::not_expression); }
    Parsed not_expression() {
        if (!is_name("not")) return comparison();
        const Deeper deeper(depth_);
        if (depth_ > kMaxDepth) return error("an expression is nested too deep");
        auto e = make(Expression::kUnary);
        ++at_;
        e->name = "not";
        TENPAK_ASSIGN(ExpressionPtr operand, not_expression());
        e->parts.push_back(std::move(operand));
        return ExpressionPtr(std::move(e));
    }
    Parsed comparison() {
        TENPAK_ASSIGN(ExpressionPtr first, sum());
        std::shared_ptr<Expression> e;
        while (true) {
            std::string op;
            for (const char* o : {"==", "!=", "<=", ">=", "<", ">"}) {
                if (op.empty() && is_operator(o)) op = o;
            }
            if (is_name("in")) op = "in";
            if (is_name("not") && ahead(1).kind == TokenKind::kName && ahead(1).text == "in") {
                op = "not in";
                ++at_;
            }
            if (op.empty()) break;
            if (!e) {
                e = make(Expression::kCompare);
                e->parts.push_back(first);
            }
            ++at_;
            TENPAK_ASSIGN(ExpressionPtr next, sum());
            e->parts.push_back(std::move(next));
            e->operators.push_back(std::move(op));
        }
        return e ? ExpressionPtr(std::move(e)) : first;
    }
    Parsed sum() { return chain({"+", "-"}, false, &Parser::concatenation); }
    Parsed concatenation() { return chain({"~"}, false, &Parser::product); }
    Parsed product() { return chain({"*", "/", "//", "%"}, false, &Parser::power); }
    Parsed power() { return chain({"**"}, false, &Parser::unary_with_filters); }
    Parsed unary_with_filters() { return unary(true); }

    Parsed unary(bool with_filters) {
        const Deeper deeper(depth_);
        if (depth_ > kMaxDepth) return error("an expression is nested too deep");
        ExpressionPtr value;
        if (is_operator("-") || is_operator("+")) {
            auto e = make(Expression::kUnary);
            e->name = t_[at_++].text;
            TENPAK_ASSIGN(ExpressionPtr operand, unary(false));
            e->parts.push_back(std::move(operand));
            value = std::move(e);
        } else {
            TENPAK_ASSIGN(value, primary());
            TENPAK_ASSIGN(value, postfix(std::move(value)));
        }
        return with_filters ? filters(std::move(value), false) : Parsed(std::move(value));
    }

    Parsed postfix(ExpressionPtr value) {
        for (int links = 0; links < 200; ++links) {
            if (take_operator(".")) {
                auto e = make(Expression::kAttribute);
                if (now().kind == TokenKind::kInteger) {
                    e->kind = Expression::kItem;
                    auto index = make(Expression::kLiteral);
                    TENPAK_ASSIGN(index->literal, integer(t_[at_++].text));
                    e->parts = {std::move(value), std::move(index)};
                } else {
                    TENPAK_ASSIGN(e->name, expect_name());
                    e->parts.push_back(std::move(value));
                }
                value = std::move(e);
            } else if (is_operator("[")) {
                TENPAK_ASSIGN(value, subscript(std::move(value)));
            } else if (is_operator("(")) {
                TENPAK_ASSIGN(value, call(std::move(value)));
            } else {
                return value;
            }
        }
        return error("an expression is too long");
    }

    Parsed subscript(ExpressionPtr value) {
        auto e = make(Expression::kItem);
        ++at_;
        ExpressionPtr part[3];
        int colons = 0;
        while (!is_operator("]")) {
            if (take_operator(":")) {
                if (++colons > 2) return error("a slice of more than three parts");
                continue;
            }
            if (part[colons] != nullptr) return error("\"]\" is missing");
            const bool outer = no_condition_;
            no_condition_ = false;
            auto inside = colons == 0 ? tuple() : expression();
            no_condition_ = outer;
            if (!inside.ok()) return std::move(inside).error();
            part[colons] = *inside;
        }
        ++at_;
        e->parts.push_back(std::move(value));
        if (colons == 0) {
            if (part[0] == nullptr) return error("an empty subscript");
            e->parts.push_back(part[0]);
        } else {
            e->kind = Expression::kSlice;
            e->parts.insert(e->parts.end(), {part[0], part[1], part[2]});
        }
        return ExpressionPtr(std::move(e));
    }

    Status arguments(std::vector<Argument>& out) {
        TENPAK_RETURN_IF_ERROR(expect_operator("("));
        const bool outer = no_condition_;
        no_condition_ = false;
        while (!take_operator(")")) {
            Argument a;
            if (is_operator("*") || is_operator("**")) return make_error(ErrorCode::kUnsupported, "the chat template unpacks arguments with *, which is not supported");
            if (now().kind == TokenKind::kName && ahead(1).kind == TokenKind::kOperator && ahead(1).text == "=") {
                a.name = now().text;
                at_ += 2;
            }
            TENPAK_ASSIGN(a.value, expression());
            out.push_back(std::move(a));
            if (!is_operator(")")) TENPAK_RETURN_IF_ERROR(expect_operator(","));
        }
        no_condition_ = outer;
        return {};
    }

    Parsed call(ExpressionPtr value) {
        auto e = make(Expression::kCall);
        e->parts.push_back(std::move(value));
        TENPAK_RETURN_IF_ERROR(arguments(e->arguments));
        return ExpressionPtr(std::move(e));
    }

    Result<std::string> dotted_name() {
        TENPAK_ASSIGN(std::string name, expect_name());
        while (take_operator(".")) {
            TENPAK_ASSIGN(const std::string more, expect_name());
            name += "." + more;
        }
        return name;
    }

    Parsed filters(ExpressionPtr value, bool starts) {
        for (int links = 0; links < 200; ++links) {
            if (starts || take_operator("|")) {
                starts = false;
                auto e = make(Expression::kFilter);
                TENPAK_ASSIGN(e->name, dotted_name());
                e->parts.push_back(std::move(value));
                if (is_operator("(")) TENPAK_RETURN_IF_ERROR(arguments(e->arguments));
                value = std::move(e);
            } else if (take_name("is")) {
                auto e = make(Expression::kTest);
                e->negated = take_name("not");
                TENPAK_ASSIGN(e->name, dotted_name());
                e->parts.push_back(std::move(value));
                if (is_operator("(")) {
                    TENPAK_RETURN_IF_ERROR(arguments(e->arguments));
                } else if (starts_test_argument()) {
                    TENPAK_ASSIGN(ExpressionPtr argument, primary());
                    TENPAK_ASSIGN(argument, postfix(std::move(argument)));
                    e->arguments.push_back({"", std::move(argument)});
                }
                value = std::move(e);
            } else if (is_operator("(")) {
                TENPAK_ASSIGN(value, call(std::move(value)));
            } else {
                return value;
            }
        }
        return error("an expression is too long");
    }
    bool starts_test_argument() const {
        switch (now().kind) {
            case TokenKind::kString: case TokenKind::kInteger: case TokenKind::kFloat: return true;
            case TokenKind::kName: return !(is_name("else") || is_name("or") || is_name("and") || is_name("is") || is_name("if") || is_name("not") || is_name("in"));
            default: return is_operator("[") || is_operator("{");
        }
    }

    Result<Value> integer(const std::string& text) const {
        std::int64_t i = 0;
        const auto r = std::from_chars(text.data(), text.data() + text.size(), i);
        if (r.ec != std::errc() || r.ptr != text.data() + text.size()) return error("a number is too large");
        return Value(i);
    }

    Parsed primary() {
        auto e = make(Expression::kLiteral);
        const LexToken& token = now();
        switch (token.kind) {
            case TokenKind::kString: {
                std::string text;
                while (now().kind == TokenKind::kString) text += t_[at_++].text;  // strings side by side are one
                e->literal = std::move(text);
                return ExpressionPtr(std::move(e));
            }
            case TokenKind::kInteger: {
                TENPAK_ASSIGN(e->literal, integer(token.text));
                ++at_;
                return ExpressionPtr(std::move(e));
            }
            case TokenKind::kFloat: {
                double d = 0;
                std::from_chars(token.text.data(), token.text.data() + token.text.size(), d);
                e->literal = d;
                ++at_;
                return ExpressionPtr(std::move(e));
            }
            case TokenKind::kName: {
                const std::string name = t_[at_++].text;
                if (name == "true" || name == "True") e->literal = true;
                else if (name == "false" || name == "False") e->literal = false;
                else if (name == "none" || name == "None") e->literal = None{};
                else {
                    e->kind = Expression::kName;
                    e->name = name;
                }
                return ExpressionPtr(std::move(e));
            }
            default: break;
        }
        const bool outer = no_condition_;
        no_condition_ = false;
        Parsed r = bracketed(std::move(e));
        no_condition_ = outer;
        return r;
    }

    Parsed bracketed(std::shared_ptr<Expression> e) {
        if (take_operator("(")) {
            if (take_operator(")")) {
                e->kind = Expression::kTuple;
                return ExpressionPtr(std::move(e));
            }
            TENPAK_ASSIGN(ExpressionPtr inside, tuple());
            TENPAK_RETURN_IF_ERROR(expect_operator(")"));
            return inside;
        }
        if (take_operator("[")) {
            e->kind = Expression::kList;
            while (!take_operator("]")) {
                TENPAK_ASSIGN(ExpressionPtr item, expression());
                e->parts.push_back(std::move(item));
                if (!is_operator("]")) TENPAK_RETURN_IF_ERROR(expect_operator(","));
            }
            return ExpressionPtr(std::move(e));
        }
        if (take_operator("{")) {
            e->kind = Expression::kDict;
            while (!take_operator("}")) {
                TENPAK_ASSIGN(ExpressionPtr key, expression());
                TENPAK_RETURN_IF_ERROR(expect_operator(":"));
                TENPAK_ASSIGN(ExpressionPtr item, expression());
                e->parts.push_back(std::move(key));
                e->parts.push_back(std::move(item));
                if (!is_operator("}")) TENPAK_RETURN_IF_ERROR(expect_operator(","));
            }
            return ExpressionPtr(std::move(e));
        }
        return error("unexpected \"" + now().text + "\"");
    }

    std::vector<LexToken> t_;
    std::size_t at_ = 0;
    int depth_ = 0;
    bool no_condition_ = false;
};

}  // namespace

Result<std::shared_ptr<const Body>> parse_template(std::string_view source) {
    TENPAK_ASSIGN(auto tokens, tokenize(source));
    return Parser(std::move(tokens)).run();
}

}  // namespace tenpak::model::jinja
