/// A file of the page at `/`, which is part of this program: nothing is read from a disk or loaded from elsewhere.
package struct PageFile: Sendable {
    /// The path of its URL.
    package let path: StaticString
    package let type: String
    package let bytes: [UInt8]

    package static let all = [
        PageFile(path: "/", type: "text/html; charset=utf-8", bytes: PackageResources.index_html),
        PageFile(path: "/page.css", type: "text/css; charset=utf-8", bytes: PackageResources.page_css),
        PageFile(path: "/page.js", type: "text/javascript; charset=utf-8", bytes: PackageResources.page_js),
        PageFile(path: "/view.js", type: "text/javascript; charset=utf-8", bytes: PackageResources.view_js),
    ]

    /// Sent with each of them: the page may talk to this server alone, and no other page may show it.
    ///
    /// Nothing is kept by browsers, which may meet another version at this address tomorrow.
    package static let headers = [
        APIHeader(
            "content-security-policy",
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
                + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
        APIHeader("x-content-type-options", "nosniff"), APIHeader("referrer-policy", "no-referrer"),
        APIHeader("cross-origin-resource-policy", "same-origin"), APIHeader("cache-control", "no-cache"),
    ]
}
