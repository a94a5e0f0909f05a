#!/usr/bin/env bats
# html/404.html, where there is one, is the page of a 404.
bats_require_minimum_version 1.5.0
load ../../lib/helpers

write_page() { echo "<title>own page $(random_name)</title>" >"$HTML/404.html"; }

expect_own_page() {
    expect_status 404 "the page is another, but the status stays" || return 1
    read_field Content-Type
    [[ $FIELD == text/html* ]] || explain "Content-Type: text/html" "html/404.html is a page; here: $FIELD" || return 1
    expect_body "$HTML/404.html" "html/404.html is the page of every 404"
}
expect_body() { # FILE HINT
    is_body "$1" || explain "the bytes of ${1#"$SITE"/} as the body" "$2"
}

# The server's own page: the sentence of the notes is in it.
expect_old_page() { # HINT
    expect_status 404 "no such file" || return 1
    read_page
    [[ $BODY == *"sorry, 您访问的页面不存在"* ]] || explain "the page that the server had before" "$1"
}

# bats test_tags=weight:8
@test "a missing page gets 404, with html/404.html as its body" {
    write_page
    get "/$(random_name).html"
    expect_own_page
}

# bats test_tags=weight:4
@test "html/404.html is read anew for each request" {
    for _ in 1 2; do
        write_page
        get "/$(random_name)"
        expect_own_page || return 1
    done
}

# bats test_tags=weight:8
@test "whatever the reason for a 404, the page is html/404.html" {
    write_page
    for target in "/$NAME/$(random_name).txt" /../secret.txt "/$NAME.fifo" /%00 "/$(random_name)/"; do
        get "$target"
        expect_own_page || return 1
    done
}

# No mistake: the stage passes it, too; it is here for what a solution may break.
# bats test_tags=given
@test "HEAD of a missing page gets the head of GET, and no body" {
    write_page
    get /nothing
    expect_same_for_head /nothing
}

# No mistake: the stage passes it, too; it is here for what a solution may break.
# bats test_tags=given
@test "without html/404.html, the server has a page of its own" {
    rm -rf "$HTML/404.html"
    get "/$(random_name)"
    expect_old_page "open_file() returns -1: then send the page from write_head()"
}

# No mistake: the stage passes it, too; it is here for what a solution may break.
# bats test_tags=given
@test "a 404.html that is a directory, or may not be read, is not sent" {
    rm -rf "$HTML/404.html"
    mkdir "$HTML/404.html"
    get "/$(random_name)"
    expect_old_page "html/404.html is a directory" || return 1
    rmdir "$HTML/404.html"
    write_page
    chmod 0 "$HTML/404.html"
    get "/$(random_name)"
    expect_old_page "html/404.html may not be read" || return 1
    rm -f "$HTML/404.html"
}

# bats test_tags=given
@test "other errors, and pages that are there, are answered as before" {
    write_page
    while read -r status method target; do
        ask "$method" "$target"
        expect_status "$status" "html/404.html is for 404 alone" || return 1
        ! is_body "$HTML/404.html" || explain "another page than html/404.html" "it is for 404 alone" || return 1
    done <<<"200 GET /
400 GET /%zz
405 POST /
301 GET /$NAME"
    get /404.html
    expect_file "$HTML/404.html" "asked for by its name, it is a page like others"
}

# No mistake: the stage passes it, too; it is here for what a solution may break.
# bats test_tags=given
@test "400 missing pages later, nothing has leaked" {
    write_page
    settle
    before=$(count_descriptors)
    client -r 400 send $'GET /nothing HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n' read >/dev/null
    settle
    (($(count_descriptors) <= before)) || explain "$before descriptors, as before" "here are $(count_descriptors): close the file"
}
