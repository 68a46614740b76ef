import Foundation

/// Connections that are opened and then send nothing.
struct SilentConnectionsAttack: ServerAttack {
    let name = "silent-connections"
    let purpose = "1,200 connections that send nothing or half a header, and some new ones each second"
    let clients = 4

    private static let held = 300

    func attack(_ client: AttackClient, round: Int) {
        client.hold(round % 2 == 0 ? "" : "GET /health HTTP/1.1\r\nhost: local", most: Self.held)
        // Once all connections are open, each client opens at most 50 new ones a second.
        if round >= Self.held { Thread.sleep(forTimeInterval: 0.02) }
    }
}
