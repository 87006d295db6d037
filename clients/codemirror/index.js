// CodeMirror as the two fields of the workflow editor: the definition's text, and texts that are templates.
// Both live in a shadow root: there CodeMirror's styles need no exception from the pages' content security policy.
import { autocompletion, closeBrackets } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { HighlightStyle, syntaxHighlighting, indentUnit } from "@codemirror/language";
import { lintGutter, setDiagnostics } from "@codemirror/lint";
import { search, searchKeymap } from "@codemirror/search";
import { EditorState, StateEffect, StateField } from "@codemirror/state";
import { Decoration, EditorView, MatchDecorator, ViewPlugin, drawSelection, keymap, lineNumbers, placeholder } from "@codemirror/view";
import { tags } from "@lezer/highlight";

const theme = EditorView.theme({
  "&": { color: "var(--text)", backgroundColor: "var(--panel)", fontSize: "12.5px", height: "100%" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace", lineHeight: "1.55" },
  ".cm-content": { caretColor: "var(--text)" },
  ".cm-gutters": { backgroundColor: "var(--panel)", color: "var(--muted)", borderRight: "1px solid var(--line)" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "var(--tint)" },
  ".cm-part": { backgroundColor: "var(--tint)" },
  ".cm-liquid": { color: "var(--generating)", backgroundColor: "var(--generating-tint)", borderRadius: "4px" },
  ".cm-tooltip": { backgroundColor: "var(--panel)", color: "var(--text)", border: "1px solid var(--line)", borderRadius: "8px" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: "var(--tint)", color: "var(--text)" },
  ".cm-completionDetail": { color: "var(--muted)", fontStyle: "normal" },
  ".cm-panels": { backgroundColor: "var(--ground)", color: "var(--text)" },
  ".cm-diagnostic": { fontFamily: "inherit" },
});

const proseTheme = EditorView.theme({
  "&": { fontSize: "14px", minHeight: "92px", maxHeight: "340px" },
  ".cm-scroller": { fontFamily: "inherit", overflow: "auto" },
  ".cm-content": { padding: "8px 10px", minHeight: "76px" },
  ".cm-line": { padding: "0" },
  ".cm-liquid": { fontFamily: "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace", fontSize: "12.5px", padding: "1px 2px" },
});

const colours = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--accent)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--sent)" },
  { tag: [tags.number, tags.bool, tags.null, tags.keyword], color: "var(--ready_to_send)" },
  { tag: [tags.comment, tags.lineComment], color: "var(--muted)", fontStyle: "italic" },
  { tag: [tags.punctuation, tags.separator, tags.squareBracket, tags.brace], color: "var(--muted)" },
]);

const liquidMatcher = new MatchDecorator({
  regexp: /\{\{[^}\n]*\}\}|\{%[^%\n]*%\}/g,
  decoration: Decoration.mark({ class: "cm-liquid" }),
});
const liquid = ViewPlugin.fromClass(
  class {
    constructor(view) { this.decorations = liquidMatcher.createDeco(view); }
    update(update) { this.decorations = liquidMatcher.updateDeco(update, this.decorations); }
  },
  { decorations: (plugin) => plugin.decorations },
);

// The lines of the selected part.
const setPart = StateEffect.define();
const part = StateField.define({
  create: () => Decoration.none,
  update(decorations, transaction) {
    let next = decorations.map(transaction.changes);
    for (const effect of transaction.effects) if (effect.is(setPart)) next = effect.value;
    return next;
  },
  provide: (field) => EditorView.decorations.from(field),
});

// After "{{" or "{%", the variables with their sample values.
function completeVariables(listVariables) {
  return (context) => {
    const word = context.matchBefore(/\{[{%]-?\s*[\w.]*/);
    if (!word) return null;
    const from = word.from + word.text.search(/[\w.]*$/);
    return {
      from,
      options: listVariables().map(({ name, value }) => ({ label: name, detail: value, type: "variable" })),
      validFor: /^[\w.]*$/,
    };
  };
}

function mount(holder, text, label, extensions) {
  const root = holder.shadowRoot ?? holder.attachShadow({ mode: "open" });
  root.replaceChildren();
  const state = EditorState.create({
    doc: text,
    extensions: [...extensions, history(), drawSelection(), EditorView.lineWrapping, liquid, theme,
      EditorView.contentAttributes.of({ "aria-label": label })],
  });
  return new EditorView({ state, parent: root, root });
}

// Replaces only what differs, so that the caret and the history of edits stay.
function replaceText(view, text) {
  const before = view.state.doc.toString();
  if (before === text) return;
  let start = 0;
  let end = 0;
  const shorter = Math.min(before.length, text.length);
  while (start < shorter && before[start] === text[start]) start += 1;
  while (end < shorter - start && before[before.length - 1 - end] === text[text.length - 1 - end]) end += 1;
  view.dispatch({ changes: { from: start, to: before.length - end, insert: text.slice(start, text.length - end) }, userEvent: "server" });
}

const isTyped = (update) => update.docChanged && !update.transactions.some((transaction) => transaction.isUserEvent("server"));

/** The definition's text, with its problems in the gutter. */
export function createSourceEditor(holder, { text, label, onInput, listVariables }) {
  const view = mount(holder, text, label, [
    lineNumbers(), yaml(), syntaxHighlighting(colours), indentUnit.of("  "), closeBrackets(), search({ top: true }),
    lintGutter(), part, autocompletion({ override: [completeVariables(listVariables)] }),
    keymap.of([...searchKeymap, ...historyKeymap, ...defaultKeymap]),
    EditorView.updateListener.of((update) => isTyped(update) && onInput(update.state.doc.toString())),
  ]);
  const findLine = (number) => view.state.doc.line(Math.min(Math.max(1, number), view.state.doc.lines));
  return {
    setText: (next) => replaceText(view, next),
    focus: () => view.focus(),
    setProblems(problems) {
      const diagnostics = problems.filter(({ line }) => line).map(({ line, message, severity }) => {
        const { from, to } = findLine(line);
        return { from, to, message, severity };
      });
      view.dispatch(setDiagnostics(view.state, diagnostics));
    },
    markPart(first, last) {
      if (!first) return view.dispatch({ effects: setPart.of(Decoration.none) });
      const marks = [];
      for (let number = first; number <= Math.min(last, view.state.doc.lines); number += 1) {
        marks.push(Decoration.line({ class: "cm-part" }).range(findLine(number).from));
      }
      const effects = [setPart.of(Decoration.set(marks))];
      if (!view.hasFocus) effects.push(EditorView.scrollIntoView(findLine(first).from, { y: "nearest", yMargin: 40 }));
      view.dispatch({ effects });
    },
  };
}

/** A field whose text is a template. The textarea stays the form's field and gets each change. */
export function createTemplateField(holder, textarea, { label, listVariables }) {
  const view = mount(holder, textarea.value, label, [
    proseTheme, autocompletion({ override: [completeVariables(listVariables)] }), placeholder(textarea.placeholder),
    keymap.of([...historyKeymap, ...defaultKeymap]),
    EditorView.updateListener.of((update) => {
      if (!isTyped(update)) return;
      textarea.value = update.state.doc.toString();
      textarea.dispatchEvent(new Event("input", { bubbles: true }));
    }),
  ]);
  return {
    focus() {
      view.focus();
      view.dispatch({ selection: { anchor: view.state.doc.length } });
    },
    insert(text) {
      const { from, to } = view.state.selection.main;
      view.dispatch({ changes: { from, to, insert: text }, selection: { anchor: from + text.length }, userEvent: "input" });
      view.focus();
    },
  };
}
