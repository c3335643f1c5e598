//! A query as a tree whose every node knows where it stands in the text.
//!
//! `promql-parser` says what an expression is, but not where its parts stand, nor where it stopped understanding. Both are found with
//! its help alone, so that there is one grammar. Places: its tokens have them, and the tree says which tokens have to come next. The
//! place of a mistake: a beginning of the text can be completed to a query up to the mistake and not beyond it, so the tokens are
//! searched for the longest beginning that still can.

use std::ops::Range;

use lrpar::{Lexeme as _, Lexer as _};
use promql_parser::parser::token::{
    T_ADD, T_AT, T_BOOL, T_BY, T_COLON, T_COMMA, T_DURATION, T_END, T_EOF, T_FILL, T_FILL_LEFT,
    T_FILL_RIGHT, T_GROUP_LEFT, T_GROUP_RIGHT, T_IGNORING, T_LEFT_BRACE, T_LEFT_BRACKET,
    T_LEFT_PAREN, T_NUMBER, T_OFFSET, T_ON, T_RIGHT_BRACE, T_RIGHT_BRACKET, T_RIGHT_PAREN, T_START,
    T_SUB, T_WITHOUT, TokenId, TokenType,
};
use promql_parser::parser::{self, Expr, LabelModifier, VectorSelector};

/// The longest query that is read, in bytes. KEDA asks by GET, and nothing lets a longer request line through.
pub const MAX_BYTES: usize = 32 << 10;
/// The most operators and brackets of a query that is read. They bound how deep its tree is, and so the stack that walking it takes;
/// a query of [`crate::plan::LONGEST_QUERY`] characters that we write has fewer than 200.
pub const MAX_OPERATORS: usize = 400;
/// The longest range or offset in seconds that is read, a hundred years. The parser cannot hold what a float of seconds can say.
const MAX_SECONDS: f64 = 3_153_600_000.0;

/// A node of a query.
#[derive(Clone, Debug)]
pub struct Node<'e> {
    /// What it is.
    pub expr: &'e Expr,
    /// Where it stands, in bytes of the query.
    pub at: Range<usize>,
    /// Where its operator, the name of its function, or its metric's name stands; the whole node if it has none.
    pub head: Range<usize>,
    /// What it is made of, in the order of the text.
    pub children: Vec<Node<'e>>,
}

/// Why a text is no query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where, in bytes of the query.
    pub at: Range<usize>,
    /// What the parser says.
    pub message: String,
}

/// One token and where it stands.
#[derive(Clone, Copy, Debug)]
struct Token {
    id: TokenId,
    start: usize,
    end: usize,
}

/// Reads a query.
///
/// # Errors
///
/// [`Mistake`] with the first place from which on it cannot be completed to a query.
pub fn parse(text: &str) -> Result<Expr, Mistake> {
    let whole = 0..text.len();
    if text.len() > MAX_BYTES {
        return Err(Mistake {
            at: whole,
            message: format!("longer than {MAX_BYTES} bytes"),
        });
    }
    let tokens = match tokens(text) {
        Ok(tokens) => tokens,
        Err(message) => return Err(unreadable(text, message)),
    };
    if let Some(mistake) = out_of_bounds(text, &tokens) {
        return Err(mistake);
    }
    parser::parse(text).map_err(|message| misplaced(text, &tokens, message))
}

/// The tokens of a text, without the end of the input.
fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let lexer = parser::lexer(text)?;
    let tokens = lexer.iter().filter_map(|lexeme| {
        let lexeme = lexeme.ok()?;
        let span = lexeme.span();
        Some(Token {
            id: lexeme.tok_id(),
            start: span.start(),
            end: span.end(),
        })
    });
    Ok(tokens.filter(|token| token.id != T_EOF).collect())
}

/// What the parser would not survive: a tree too deep for the stack, and numbers of seconds that no duration holds.
fn out_of_bounds(text: &str, tokens: &[Token]) -> Option<Mistake> {
    let deepening = |token: &&Token| {
        token.id == T_LEFT_PAREN
            || token.id == T_LEFT_BRACKET
            || TokenType::new(token.id).is_operator()
    };
    if let Some(token) = tokens.iter().filter(deepening).nth(MAX_OPERATORS) {
        return Some(Mistake {
            at: token.start..token.end,
            message: format!("more than {MAX_OPERATORS} operators and brackets"),
        });
    }
    let mut before = None;
    for token in tokens {
        let sign = token.id == T_ADD || token.id == T_SUB;
        let takes_duration = matches!(before, Some(T_LEFT_BRACKET | T_COLON | T_OFFSET));
        if token.id == T_NUMBER && takes_duration {
            let seconds = text.get(token.start..token.end).map(str::parse::<f64>);
            // What is not a decimal is a hexadecimal of at most 64 bits, which a duration holds.
            if let Some(Ok(seconds)) = seconds
                && (seconds.is_nan() || seconds > MAX_SECONDS)
            {
                return Some(Mistake {
                    at: token.start..token.end,
                    message: "a duration of more than a hundred years".to_owned(),
                });
            }
        }
        if !(sign && before == Some(T_OFFSET)) {
            before = Some(token.id);
        }
    }
    None
}

/// Finds the character at which the text stops being tokens.
fn unreadable(text: &str, message: String) -> Mistake {
    let mut ends: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    ends.push(text.len());
    // A beginning that ends inside a string or a bracket is as unreadable, so only the message tells them apart.
    let same = |end: usize| {
        text.get(..end)
            .is_some_and(|begin| tokens(begin).err().as_ref() == Some(&message))
    };
    let unfinished = [
        "unterminated",
        "unclosed",
        "unexpected end",
        "not terminated",
    ];
    let at = if unfinished.iter().any(|word| message.contains(word)) {
        text.len()
    } else {
        ends.partition_point(|&end| !same(end))
            .checked_sub(1)
            .and_then(|index| ends.get(index).copied())
            .unwrap_or(text.len())
    };
    let end = text
        .get(at..)
        .and_then(|rest| rest.chars().next())
        .map_or(at, |character| at + character.len_utf8());
    Mistake {
        at: at..end,
        message,
    }
}

/// Ways to go on after the beginning of a query: with what may stand where an operand, a label, a duration or nothing is due.
const COMPLETIONS: [&str; 16] = [
    "", " x", "(x)", "()", " (a) x", " (a) (x)", "x[1m]", "[1m]", "1m]", "]", "=\"\"", "\"\"",
    "a=\"\"", " \"\", x", ", x", ", 1",
];

/// Finds the token at which the text stops being a query.
fn misplaced(text: &str, tokens: &[Token], message: String) -> Mistake {
    let completes = |count: usize| {
        let end = count
            .checked_sub(1)
            .and_then(|last| tokens.get(last))
            .map_or(0, |token| token.end);
        let Some(begin) = text.get(..end) else {
            return false;
        };
        let closing = closing(tokens.get(..count).unwrap_or_default());
        COMPLETIONS.iter().any(|completion| {
            // A completion may have closed the innermost bracket itself.
            (0..=closing.len().min(1)).any(|skip| {
                let rest = closing.get(skip..).unwrap_or_default();
                parser::parse(&format!("{begin}{completion}{rest}")).is_ok()
            })
        })
    };
    let (mut good, mut bad) = (0, tokens.len());
    while bad > good + 1 {
        let middle = usize::midpoint(good, bad);
        if completes(middle) {
            good = middle;
        } else {
            bad = middle;
        }
    }
    // All of it could be completed: something is missing at the end.
    let at = if completes(tokens.len()) {
        text.trim_end().len()..text.trim_end().len()
    } else {
        tokens
            .get(good)
            .map_or(0..text.len(), |token| token.start..token.end)
    };
    Mistake { at, message }
}

/// What closes the brackets that are open after these tokens, the innermost first.
fn closing(tokens: &[Token]) -> String {
    let mut open = Vec::new();
    for token in tokens {
        match token.id {
            T_LEFT_PAREN => open.push(')'),
            T_LEFT_BRACE => open.push('}'),
            T_LEFT_BRACKET => open.push(']'),
            T_RIGHT_PAREN | T_RIGHT_BRACE | T_RIGHT_BRACKET => {
                open.pop();
            }
            _ => {}
        }
    }
    open.into_iter().rev().collect()
}

/// Finds where every node of a query stands. Where the tokens do not follow the tree, which no query is known to do, every node
/// stands for the whole text.
pub fn locate<'e>(expr: &'e Expr, text: &str) -> Node<'e> {
    let tokens = tokens(text).unwrap_or_default();
    let mut walk = Walk {
        tokens: &tokens,
        next: 0,
    };
    match walk.expr(expr) {
        Some(node) if walk.next == tokens.len() => node,
        Some(_) | None => everywhere(expr, 0..text.len()),
    }
}

fn everywhere(expr: &Expr, at: Range<usize>) -> Node<'_> {
    let children = parts(expr)
        .into_iter()
        .map(|part| everywhere(part, at.clone()))
        .collect();
    Node {
        expr,
        head: at.clone(),
        at,
        children,
    }
}

/// What an expression is made of, in the order of the text.
fn parts(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::Aggregate(aggregate) => aggregate
            .param
            .as_deref()
            .into_iter()
            .chain([aggregate.expr.as_ref()])
            .collect(),
        Expr::Unary(unary) => vec![&unary.expr],
        Expr::Binary(binary) => vec![&binary.lhs, &binary.rhs],
        Expr::Paren(paren) => vec![&paren.expr],
        Expr::Subquery(subquery) => vec![&subquery.expr],
        Expr::Call(call) => call.args.args.iter().map(AsRef::as_ref).collect(),
        Expr::NumberLiteral(_)
        | Expr::StringLiteral(_)
        | Expr::VectorSelector(_)
        | Expr::MatrixSelector(_)
        | Expr::Extension(_) => Vec::new(),
    }
}

/// The tokens, and which one comes next.
struct Walk<'t> {
    tokens: &'t [Token],
    next: usize,
}

impl Walk<'_> {
    fn peek(&self) -> Option<TokenId> {
        self.tokens.get(self.next).map(|token| token.id)
    }

    fn take(&mut self) -> Option<Token> {
        let token = *self.tokens.get(self.next)?;
        self.next += 1;
        Some(token)
    }

    fn expect(&mut self, id: TokenId) -> Option<Token> {
        (self.peek() == Some(id)).then(|| self.take()).flatten()
    }

    /// Where the last token that was taken ends.
    fn end(&self) -> usize {
        self.next
            .checked_sub(1)
            .and_then(|last| self.tokens.get(last))
            .map_or(0, |token| token.end)
    }

    fn expr<'e>(&mut self, expr: &'e Expr) -> Option<Node<'e>> {
        let binary = matches!(expr, Expr::Binary(_) | Expr::Subquery(_));
        // A plus sign leaves no trace in the tree. One before a sum is that of the sum's first operand.
        while !binary && self.peek() == Some(T_ADD) {
            self.next += 1;
        }
        let start = self.tokens.get(self.next)?.start;
        let mut children = Vec::new();
        let head = match expr {
            Expr::Aggregate(aggregate) => {
                let name = self.take()?;
                let before = matches!(self.peek(), Some(T_BY | T_WITHOUT));
                if before {
                    self.next += 1;
                    self.group()?;
                }
                self.arguments(&parts(expr), &mut children)?;
                if aggregate.modifier.is_some() && !before {
                    let modifier = self.take()?;
                    (modifier.id == T_BY || modifier.id == T_WITHOUT).then_some(())?;
                    self.group()?;
                }
                name.start..name.end
            }
            Expr::Call(_) => {
                let name = self.take()?;
                self.arguments(&parts(expr), &mut children)?;
                name.start..name.end
            }
            Expr::Unary(unary) => {
                let sign = self.expect(T_SUB)?;
                children.push(self.expr(&unary.expr)?);
                sign.start..sign.end
            }
            Expr::Binary(binary) => {
                children.push(self.expr(&binary.lhs)?);
                let operator = self.expect(binary.op.id())?;
                self.matching()?;
                children.push(self.expr(&binary.rhs)?);
                operator.start..operator.end
            }
            Expr::Paren(paren) => {
                let open = self.expect(T_LEFT_PAREN)?;
                children.push(self.expr(&paren.expr)?);
                self.expect(T_RIGHT_PAREN)?;
                open.start..open.end
            }
            Expr::Subquery(subquery) => {
                children.push(self.expr(&subquery.expr)?);
                let open = self.range()?;
                self.moved(subquery.offset.is_some(), subquery.at.is_some())?;
                open..self.end()
            }
            Expr::NumberLiteral(_) => {
                // The signs of a number are part of it.
                while matches!(self.peek(), Some(T_ADD | T_SUB)) {
                    self.next += 1;
                }
                self.take()?;
                start..self.end()
            }
            Expr::StringLiteral(_) => {
                self.take()?;
                start..self.end()
            }
            Expr::VectorSelector(selector) => {
                let head = self.selector(selector)?;
                self.moved(selector.offset.is_some(), selector.at.is_some())?;
                head
            }
            Expr::MatrixSelector(matrix) => {
                self.selector(&matrix.vs)?;
                let open = self.range()?;
                let close = self.end();
                self.moved(matrix.vs.offset.is_some(), matrix.vs.at.is_some())?;
                open..close
            }
            Expr::Extension(_) => return None,
        };
        let start = children
            .first()
            .filter(|_| binary)
            .map_or(start, |first| first.at.start);
        Some(Node {
            expr,
            at: start..self.end(),
            head,
            children,
        })
    }

    fn arguments<'e>(&mut self, args: &[&'e Expr], nodes: &mut Vec<Node<'e>>) -> Option<()> {
        self.expect(T_LEFT_PAREN)?;
        for (index, arg) in args.iter().enumerate() {
            if index > 0 {
                self.expect(T_COMMA)?;
            }
            nodes.push(self.expr(arg)?);
        }
        self.expect(T_RIGHT_PAREN).map(|_| ())
    }

    /// Labels in parentheses.
    fn group(&mut self) -> Option<()> {
        self.expect(T_LEFT_PAREN)?;
        while self.take()?.id != T_RIGHT_PAREN {}
        Some(())
    }

    /// What may stand between an operator and its right side.
    fn matching(&mut self) -> Option<()> {
        loop {
            match self.peek()? {
                T_BOOL => self.next += 1,
                T_ON | T_IGNORING | T_FILL | T_FILL_LEFT | T_FILL_RIGHT => {
                    self.next += 1;
                    self.group()?;
                }
                T_GROUP_LEFT | T_GROUP_RIGHT => {
                    self.next += 1;
                    if self.peek() == Some(T_LEFT_PAREN) {
                        self.group()?;
                    }
                }
                _ => return Some(()),
            }
        }
    }

    /// The name and the matchers of a selector, and where the name stands, or else the matchers.
    fn selector(&mut self, selector: &VectorSelector) -> Option<Range<usize>> {
        let start = self.tokens.get(self.next)?.start;
        if selector.name.is_some() {
            self.take()?;
            let head = start..self.end();
            if self.peek() == Some(T_LEFT_BRACE) {
                self.braces()?;
            }
            return Some(head);
        }
        self.braces()?;
        Some(start..self.end())
    }

    fn braces(&mut self) -> Option<()> {
        self.expect(T_LEFT_BRACE)?;
        while self.take()?.id != T_RIGHT_BRACE {}
        Some(())
    }

    /// A range in brackets, and where it begins.
    fn range(&mut self) -> Option<usize> {
        let open = self.expect(T_LEFT_BRACKET)?;
        while self.take()?.id != T_RIGHT_BRACKET {}
        Some(open.start)
    }

    /// `offset` and `@`, in any order.
    fn moved(&mut self, offset: bool, at: bool) -> Option<()> {
        for _ in 0..usize::from(offset) + usize::from(at) {
            match self.take()?.id {
                T_OFFSET => {
                    if matches!(self.peek(), Some(T_ADD | T_SUB)) {
                        self.next += 1;
                    }
                    let duration = self.take()?;
                    matches!(duration.id, T_DURATION | T_NUMBER).then_some(())?;
                }
                T_AT => {
                    if matches!(self.peek(), Some(T_ADD | T_SUB)) {
                        self.next += 1;
                    }
                    if matches!(self.take()?.id, T_START | T_END) {
                        self.group()?;
                    }
                }
                _ => return None,
            }
        }
        Some(())
    }
}

impl<'e> Node<'e> {
    /// Without the parentheses around it.
    pub fn bare(&self) -> &Self {
        match (self.expr, self.children.as_slice()) {
            (Expr::Paren(_), [inner]) => inner.bare(),
            _ => self,
        }
    }

    /// Every node, this one first.
    pub fn walk(&self) -> Vec<&Self> {
        let mut nodes = vec![self];
        for child in &self.children {
            nodes.extend(child.walk());
        }
        nodes
    }

    /// The selectors in it, instant or over a range.
    pub fn selectors(&self) -> Vec<(&Self, &'e VectorSelector)> {
        self.walk()
            .into_iter()
            .filter_map(|node| Some((node, node.selector()?)))
            .collect()
    }

    /// The selector that this node is.
    pub fn selector(&self) -> Option<&'e VectorSelector> {
        match self.expr {
            Expr::VectorSelector(selector) => Some(selector),
            Expr::MatrixSelector(matrix) => Some(&matrix.vs),
            Expr::Aggregate(_)
            | Expr::Unary(_)
            | Expr::Binary(_)
            | Expr::Paren(_)
            | Expr::Subquery(_)
            | Expr::NumberLiteral(_)
            | Expr::StringLiteral(_)
            | Expr::Call(_)
            | Expr::Extension(_) => None,
        }
    }

    /// The labels that an aggregation keeps, if it is one that names them.
    pub fn grouping(&self) -> Option<&'e LabelModifier> {
        match self.expr {
            Expr::Aggregate(aggregate) => aggregate.modifier.as_ref(),
            Expr::Unary(_)
            | Expr::Binary(_)
            | Expr::Paren(_)
            | Expr::Subquery(_)
            | Expr::NumberLiteral(_)
            | Expr::StringLiteral(_)
            | Expr::VectorSelector(_)
            | Expr::MatrixSelector(_)
            | Expr::Call(_)
            | Expr::Extension(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Each node's own text, read by itself, is that node again: the strongest thing that can be said of a place.
    fn every_place_holds(text: &str) {
        let expr = parse(text).unwrap_or_else(|mistake| panic!("{text}: {mistake:?}"));
        let root = locate(&expr, text);
        for node in root.walk() {
            let own = text.get(node.at.clone()).unwrap();
            assert_eq!(
                &parser::parse(own).unwrap(),
                node.expr,
                "{own:?} of {text:?}"
            );
        }
        // The fallback, where every node stands for everything, holds for a single node only.
        if let [first, ..] = root.children.as_slice() {
            assert_ne!((&first.at, &first.head), (&root.at, &root.head), "{text:?}");
        }
    }

    #[test]
    fn every_node_is_found_where_it_stands() {
        for text in [
            "a",
            "sum(a)",
            "sum by (x) (a)",
            "sum (a) by (x)",
            "sum without () (a{b=\"c\"})",
            "topk(3, a)",
            "count_values(\"v\", a)",
            "quantile by (x) (0.9, rate(a[5m]))",
            "-a + +b - -1 * 2 ^ -c",
            "+(a)",
            "+a + b",
            "a and on () (b == bool 3)",
            "a * on (x) group_left (y, z) b / ignoring (q) group_right c",
            "(((a)))",
            "rate(a[5m] offset 1h @ 3) + a @ end() offset -5m",
            "max_over_time(rate(a{b=~\"x|y\"}[1m])[10m:30s] offset 1m)",
            "a{b=\"ä😀\"} # Kommentar ü\n + c",
            "{__name__=\"a\",b!=\"c\"} or {\"d\"}",
            "sum(sum)",
            "hour() > bool 3",
            "clamp_max(sum(a) + clamp_min(sum(b) - sum(c), 0) * 2 / 30, scalar(sum(b)))",
            "a offset 5m",
            "foo[5m:]",
            "1",
            "\"text\"",
            "a atan2 b unless c or d and e",
        ] {
            every_place_holds(text);
        }
    }

    #[test]
    fn a_mistake_is_shown_where_the_text_stops_being_a_query() {
        for (text, at, shown) in [
            ("sum(a) b", 7, "b"),
            ("sum by queue (a)", 7, "queue"),
            ("a and * b", 6, "*"),
            ("rate(a)", 6, ")"),
            ("sum(a", 5, ""),
            ("a +", 3, ""),
            ("a{b='c}", 7, ""),
            ("a{b=c}", 4, "c"),
            ("a == 3 == bool", 14, ""),
            ("nonsense(a)", 8, "("),
            ("a ! b", 3, " "),
            ("ä", 0, "ä"),
            ("sum(a{q=\"x\"}) > $limit", 16, "$"),
            ("sum(a) > {{ .Values.limit }}", 10, "{"),
        ] {
            let mistake = parse(text).unwrap_err();
            assert_eq!(
                (mistake.at.start, text.get(mistake.at.clone()).unwrap()),
                (at, shown),
                "{text}: {}",
                mistake.message
            );
        }
    }

    #[test]
    fn what_the_parser_would_not_survive_is_refused_before() {
        for text in [
            "a[1e30]".to_owned(),
            "a offset 1e300".to_owned(),
            "a offset -1e300".to_owned(),
            "a[1m:1e300]".to_owned(),
            "(".repeat(10_000) + "a" + &")".repeat(10_000),
            "-".repeat(20_000) + "a",
            "a".to_owned() + &" + a".repeat(5_000),
            " ".repeat(MAX_BYTES + 1),
        ] {
            assert!(parse(&text).is_err(), "{text:.30}");
        }
        // The deepest that is read is walked on the stack of a test.
        let deep = "a".to_owned() + &" + a".repeat(MAX_OPERATORS);
        assert_eq!(
            locate(&parse(&deep).unwrap(), &deep).walk().len(),
            2 * MAX_OPERATORS + 1
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(words in proptest::collection::vec(
            prop::sample::select(vec![
                "a", "sum", "by", "(", ")", "{", "}", "[", "]", "5m", "1", "1e9", "\"x\"", "'", ",", "+", "-", "*", "/", "==", "and",
                "or", "on", "bool", "offset", "@", "=", "=~", "rate", ":", "start", "#", "\n", "\\", "ä", "group_left", "fill", "0x1",
            ]), 0..24,
        )) {
            let text = words.join(" ");
            if let Ok(expr) = parse(&text) {
                prop_assert!(locate(&expr, &text).walk().iter().all(|node| node.at.end <= text.len()));
            }
        }

        #[test]
        fn no_string_makes_it_panic(inner in r#"[\\xuU03478afn"'`ä😀\n]{0,12}"#, quote in "[\"'`]") {
            let _ = parse(&format!("a{{b=~{quote}{inner}{quote}}}"));
            let _ = parse(&inner);
        }
    }
}
