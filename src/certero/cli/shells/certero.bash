# Completion of certero for bash; written by: certero --install-completion bash
_certero() {
    local line value files=
    COMPREPLY=()
    while IFS= read -r line; do
        value=${line%%$'\t'*}
        if [[ -n $value ]]; then
            COMPREPLY+=("$value")
        else
            files=1
        fi
    done < <(certero --complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    # Without an answer bash itself offers files, which is right for files alone.
    if [[ -z $files ]]; then
        compopt +o default 2>/dev/null
    fi
}
complete -o default -F _certero certero
