//! Scaling modifiers: a formula over the triggers of a ScaledObject, in the language of
//! <https://expr-lang.org/docs/language-definition>.
//!
//! KEDA compiles the formula with a number for each named trigger and runs it, see
//! <https://github.com/kedacore/keda/blob/v2.20.2/apis/keda/v1alpha1/scaledobject_webhook.go>, so a name that is no trigger is refused.
//!
//! No parser of that language exists in Rust, and none is imitated: the formula is read as tokens. That is enough to know which names
//! it uses, whether its brackets close, and what stands right behind a division sign. It is not enough to know types, the arguments of
//! functions, or whether a divisor that is computed can be 0; of these nothing is said.

use std::ops::Range;

use super::finding::Finding;
use crate::rule::Rule;
use crate::spec::closest;

/// A trigger, as far as a formula can see it.
#[derive(Clone, Copy, Debug)]
pub struct Trigger<'t> {
    /// Its name, if it has one.
    pub name: Option<&'t str>,
    /// Whether it is of type `cpu` or `memory`, which formulas cannot use.
    pub is_resource: bool,
}

/// Words of the language that name no trigger.
const KEYWORDS: [&str; 16] = [
    "let",
    "and",
    "or",
    "not",
    "in",
    "matches",
    "contains",
    "startsWith",
    "endsWith",
    "true",
    "false",
    "nil",
    "if",
    "else",
    "env",
    "float",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Name,
    Number,
    Text,
    Sign,
}

#[derive(Clone, Debug)]
struct Token<'t> {
    kind: Kind,
    text: &'t str,
    at: Range<usize>,
}

/// Signs of two characters, before those of one.
const PAIRS: [&str; 10] = ["??", "?.", "**", "&&", "||", "==", "!=", "<=", ">=", ".."];

/// Tells what is wrong with a formula. `coalesces` says that the fallback has the behavior `scalingModifiers`, which alone makes a lost
/// trigger `nil`.
pub fn formula(text: &str, triggers: &[Trigger<'_>], coalesces: bool) -> Vec<Finding> {
    let tokens = match tokens(text) {
        Ok(tokens) => tokens,
        Err(finding) => return vec![*finding],
    };
    let mut findings = Vec::new();
    findings.extend(unbalanced(text, &tokens));
    if !findings.is_empty() {
        return findings;
    }
    findings.extend(not_a_number(text, &tokens));
    let named: Vec<&str> = triggers
        .iter()
        .filter(|trigger| !trigger.is_resource)
        .filter_map(|trigger| trigger.name)
        .collect();
    let mut told: Vec<&str> = Vec::new();
    for token in names(&tokens) {
        // The rest of a name that reads as a subtraction is told with its beginning.
        let rest = named.iter().any(|name| {
            text.contains(*name) && name.split('-').skip(1).any(|part| part == token.text)
        });
        if !named.contains(&token.text) && !told.contains(&token.text) && !rest {
            told.push(token.text);
            findings.push(unknown(text, token, triggers, &named));
        }
    }
    if let Some(token) = tokens
        .iter()
        .find(|token| token.text == "??")
        .filter(|_| !coalesces)
    {
        findings.push(Finding::new(
            Rule::ModifiersCoalesceWithoutFallback,
            token.at.clone(),
            "nothing is ever replaced here: a lost trigger is an error, and not nil",
            "only a fallback of the behavior `scalingModifiers` makes it nil",
            "add `fallback: {failureThreshold: 3, replicas: 1, behavior: scalingModifiers}` (KEDA 2.20 or newer), or leave `??` out",
        ));
    }
    findings.extend(divisions(&tokens, &named));
    findings
}

/// Tells what is wrong with a target: the number to which the formula's result is compared.
pub fn target(text: &str) -> Option<Finding> {
    let number = text.parse::<f64>().ok();
    if number.is_some_and(|number| number > 0.0) {
        return None;
    }
    Some(Finding::new(
        Rule::ModifiersTargetNotPositive,
        0..text.len(),
        "the target of scaling modifiers is a number above zero",
        if number.is_some() {
            "not above zero"
        } else {
            "not a number"
        },
        "write what one replica is for, such as `target: \"10\"`",
    ))
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, Box<Finding>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let first = rest.chars().next().unwrap_or_default();
        let length_of = |fits: fn(char) -> bool| rest.find(|c| !fits(c)).unwrap_or(rest.len());
        let (kind, length) = if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        } else if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        } else if rest.starts_with("/*") {
            at += rest.find("*/").map_or(rest.len(), |end| end + 2);
            continue;
        } else if first.is_alphabetic() || matches!(first, '_' | '$') {
            (
                Kind::Name,
                length_of(|c| c.is_alphanumeric() || matches!(c, '_' | '$')),
            )
        } else if first.is_ascii_digit() {
            (Kind::Number, number_length(rest))
        } else if matches!(first, '"' | '\'' | '`') {
            let Some(length) = text_length(rest, first) else {
                return Err(Box::new(broken(at..text.len(), "this text is not closed")));
            };
            (Kind::Text, length)
        } else {
            let pair = PAIRS.iter().find(|pair| rest.starts_with(**pair));
            (Kind::Sign, pair.map_or(first.len_utf8(), |pair| pair.len()))
        };
        let range = at..at + length;
        tokens.push(Token {
            kind,
            text: text.get(range.clone()).unwrap_or_default(),
            at: range,
        });
        at += length;
    }
    Ok(tokens)
}

/// Digits, a fraction, an exponent; `1..3` is a range of two numbers.
fn number_length(rest: &str) -> usize {
    let mut length = 0;
    let mut before = ' ';
    for (at, character) in rest.char_indices() {
        let sign = matches!(character, '+' | '-') && matches!(before, 'e' | 'E');
        let dot = character == '.' && !rest.get(at..).is_some_and(|rest| rest.starts_with(".."));
        if !(character.is_ascii_alphanumeric() || character == '_' || sign || dot) {
            break;
        }
        before = character;
        length = at + character.len_utf8();
    }
    length
}

fn text_length(rest: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if character == '\\' && quote != '`' {
            escaped = true;
        } else if character == quote {
            return Some(at + character.len_utf8());
        }
    }
    None
}

fn broken(at: Range<usize>, label: &str) -> Finding {
    Finding::new(
        Rule::ModifiersSyntax,
        at,
        "KEDA cannot compile this formula",
        label,
        "write a number from the names of triggers, such as `queue_a + 2 * queue_b`",
    )
}

fn unbalanced(text: &str, tokens: &[Token<'_>]) -> Option<Finding> {
    if tokens.is_empty() {
        return Some(Finding::new(
            Rule::ModifiersFormulaMissing,
            0..text.len(),
            "the formula of these scaling modifiers is empty",
            "KEDA refuses the object",
            "write one, such as `queue_a + queue_b`, or remove `scalingModifiers`",
        ));
    }
    let mut open: Vec<&Token<'_>> = Vec::new();
    for token in tokens {
        let opens = |closing: &str| match closing {
            ")" => "(",
            "]" => "[",
            _ => "{",
        };
        match token.text {
            "(" | "[" | "{" => open.push(token),
            ")" | "]" | "}" if open.pop().is_none_or(|last| last.text != opens(token.text)) => {
                return Some(broken(token.at.clone(), "closes nothing"));
            }
            _ => {}
        }
    }
    open.last()
        .map(|token| broken(token.at.clone(), "this bracket is not closed"))
}

/// A formula that compares and does not choose answers true or false.
fn not_a_number(text: &str, tokens: &[Token<'_>]) -> Option<Finding> {
    let mut depth = 0_usize;
    let mut comparison = None;
    for token in tokens {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            "?" | "if" | ";" | "let" => return None,
            "<" | ">" | "<=" | ">=" | "==" | "!=" | "&&" | "||" | "and" | "or" | "not" | "!"
                if depth == 0 =>
            {
                comparison = comparison.or(Some(token));
            }
            _ => {}
        }
    }
    comparison.map(|token| {
        Finding::new(
            Rule::ModifiersSyntax,
            token.at.clone(),
            "this formula is true or false, and KEDA needs a number",
            "a comparison",
            format!("choose a number: `({}) ? 1 : 0`", text.trim()),
        )
    })
}

/// The names that must be triggers: not words of the language, functions, fields or what `let` introduces.
fn names<'a, 't>(tokens: &'a [Token<'t>]) -> impl Iterator<Item = &'a Token<'t>> {
    let text = move |index: Option<usize>| {
        index
            .and_then(|index| tokens.get(index))
            .map_or("", |token| token.text)
    };
    let introduced = move |name: &str| {
        tokens
            .windows(2)
            .any(|pair| matches!(pair, [word, named] if word.text == "let" && named.text == name))
    };
    tokens.iter().enumerate().filter_map(move |(index, token)| {
        let before = text(index.checked_sub(1));
        let key = matches!(before, "{" | ",") && text(Some(index + 1)) == ":";
        let named = token.kind == Kind::Name
            && !KEYWORDS.contains(&token.text)
            && text(Some(index + 1)) != "("
            && !matches!(before, "." | "?.")
            && !key
            && !introduced(token.text);
        named.then_some(token)
    })
}

fn unknown(text: &str, token: &Token<'_>, triggers: &[Trigger<'_>], named: &[&str]) -> Finding {
    let resource = triggers
        .iter()
        .any(|trigger| trigger.is_resource && trigger.name == Some(token.text));
    let dashed = named.iter().find(|name| {
        name.contains('-') && name.split('-').next() == Some(token.text) && text.contains(*name)
    });
    let unnamed = triggers
        .iter()
        .any(|trigger| trigger.name.is_none() && !trigger.is_resource);
    let (label, help) = if resource {
        (
            "a trigger of type cpu or memory, which formulas cannot use".to_owned(),
            "leave it out: the HPA compares it beside the formula".to_owned(),
        )
    } else if let Some(name) = dashed {
        (
            format!("`{name}` reads as a subtraction"),
            format!(
                "call the trigger `{}`, and write that",
                name.replace('-', "_")
            ),
        )
    } else if let Some(close) = closest(token.text, named) {
        (
            "no trigger is called this".to_owned(),
            format!("did you mean `{close}`?"),
        )
    } else if unnamed {
        (
            "no trigger is called this".to_owned(),
            format!(
                "give the trigger that is meant a name: `name: {}`",
                token.text
            ),
        )
    } else {
        let known = named.join("`, `");
        (
            "no trigger is called this".to_owned(),
            format!("take one of `{known}`"),
        )
    };
    Finding::new(
        Rule::ModifiersUnknownTrigger,
        token.at.clone(),
        format!("`{}` is no trigger of this object", token.text),
        label,
        help,
    )
}

/// Divisions by a bare trigger that is compared with nothing anywhere in the formula.
fn divisions(tokens: &[Token<'_>], named: &[&str]) -> Vec<Finding> {
    let compared = |name: &str| {
        tokens.windows(3).any(|three| match three {
            [left, sign, right] => {
                matches!(sign.text, "==" | "!=" | ">" | "<" | ">=" | "<=")
                    && (left.text == name || right.text == name)
            }
            _ => false,
        })
    };
    let division = |three: &[Token<'_>]| {
        let [sign, divisor, behind] = three else {
            return None;
        };
        let zero = divisor.kind == Kind::Number && divisor.text.parse::<f64>() == Ok(0.0);
        let bare = named.contains(&divisor.text) && !matches!(behind.text, "." | "?." | "(" | "**");
        if !matches!(sign.text, "/" | "%") || !(zero || bare && !compared(divisor.text)) {
            return None;
        }
        Some(Finding::new(
            Rule::ModifiersUnguardedDivision,
            divisor.at.clone(),
            format!(
                "`{}` can be 0, and the formula then has no number",
                divisor.text
            ),
            "divides by 0 when that queue is empty",
            format!(
                "write `max({}, 1)`, or choose: `{0} > 0 ? ... : 0`",
                divisor.text
            ),
        ))
    };
    let end = Token {
        kind: Kind::Sign,
        text: "",
        at: 0..0,
    };
    let closed: Vec<Token<'_>> = tokens.iter().cloned().chain([end]).collect();
    closed.windows(3).filter_map(division).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, coalesces: bool) -> Vec<String> {
        let trigger = |name, is_resource| Trigger { name, is_resource };
        let triggers = [
            trigger(Some("queue_a"), false),
            trigger(Some("queue_b"), false),
            trigger(Some("queue-c"), false),
            trigger(Some("load"), true),
        ];
        formula(text, &triggers, coalesces)
            .into_iter()
            .map(|finding| format!("{}: {}", finding.rule, text.get(finding.at).unwrap()))
            .collect()
    }

    #[test]
    fn each_fault_of_a_formula_is_told_at_its_place() {
        for (text, expected) in [
            ("", vec!["modifiers/formula-missing: "]),
            ("(queue_a", vec!["modifiers/syntax: ("]),
            ("queue_a)", vec!["modifiers/syntax: )"]),
            ("max(queue_a]", vec!["modifiers/syntax: ]"]),
            ("\"queue_a", vec!["modifiers/syntax: \"queue_a"]),
            ("queue_a > 5", vec!["modifiers/syntax: >"]),
            (
                "queue_d + queue_a",
                vec!["modifiers/unknown-trigger: queue_d"],
            ),
            ("queue-c", vec!["modifiers/unknown-trigger: queue"]),
            ("load + queue_a", vec!["modifiers/unknown-trigger: load"]),
            (
                "queue_a ?? 5",
                vec!["modifiers/coalesce-without-fallback: ??"],
            ),
            (
                "queue_a / queue_b",
                vec!["modifiers/unguarded-division: queue_b"],
            ),
            ("queue_a % 0", vec!["modifiers/unguarded-division: 0"]),
        ] {
            assert_eq!(told(text, false), expected, "{text}");
        }
        assert_eq!(told("queue_a ?? queue_b ?? 5", true), Vec::<String>::new());
    }

    #[test]
    fn sane_formulas_are_left_alone() {
        for text in [
            "queue_a + 2.5 * queue_b - 1e-3",
            "max(queue_a, queue_b) / 2",
            "queue_b > 0 ? queue_a / queue_b : 0",
            "queue_a / max(queue_b, 1)",
            "queue_a / (queue_b + 1)",
            "let total = queue_a + queue_b; total > 5 ? total : 0",
            "if queue_a > 3 { queue_a } else { queue_b }",
            "sum([queue_a, queue_b])",
            "count([queue_a, queue_b], # > 1) > 1 ? 5 : 0",
            "queue_a /* of shop */ + queue_b // of mail",
            "float(queue_a)",
            "queue_a in 1..3 ? 1 : 2",
            "queue_a ** 2",
            "{\"x\": queue_a}.x",
        ] {
            assert_eq!(told(text, false), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn a_name_that_was_meant_is_named() {
        let named = |name| Trigger {
            name,
            is_resource: false,
        };
        for (text, trigger, expected) in [
            ("queu_a", named(Some("queue_a")), "did you mean `queue_a`?"),
            (
                "demand",
                named(None),
                "give the trigger that is meant a name: `name: demand`",
            ),
            (
                "queue-a",
                named(Some("queue-a")),
                "call the trigger `queue_a`, and write that",
            ),
            ("other", named(Some("queue_a")), "take one of `queue_a`"),
        ] {
            assert_eq!(formula(text, &[trigger], false)[0].help, expected);
        }
    }

    #[test]
    fn a_target_is_a_number_above_zero() {
        for (text, good) in [
            ("10", true),
            ("2.5", true),
            ("0", false),
            ("-1", false),
            ("ten", false),
            ("", false),
            ("NaN", false),
        ] {
            assert_eq!(target(text).is_none(), good, "{text}");
        }
    }
}
