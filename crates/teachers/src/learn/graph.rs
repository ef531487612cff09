//! The user-item graph: a matrix over its nodes, and an order of them that keeps neighbours together.

use rectify_core::{ItemId, UserId};
use rectify_data::Interactions;
use rectify_tensor::Csr;

/// What a model multiplies its nodes with; A is the adjacency of the bipartite graph, D its degrees. All are symmetric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    /// `Â = D^-½ A D^-½`. A node without edges has an empty row.
    Adjacency,
    /// `I + Â`.
    SelfPlusAdjacency,
    /// `I + L`, `L = I - D'^-½ (A + I) D'^-½` with `D' = D + I`: on the diagonal `2 - 1 / d'`.
    SelfPlusLaplacian,
}

impl Operator {
    /// The entry between neighbours of degrees `a` and `b`.
    fn edge(self, a: usize, b: usize) -> f64 {
        let root = |degree: usize| (degree as f64).sqrt();
        match self {
            Self::Adjacency | Self::SelfPlusAdjacency => 1.0 / (root(a) * root(b)),
            Self::SelfPlusLaplacian => -1.0 / (root(a + 1) * root(b + 1)),
        }
    }

    /// The entry of a node of that degree with itself, if it is stored.
    fn diagonal(self, degree: usize) -> Option<f64> {
        match self {
            Self::Adjacency => None,
            Self::SelfPlusAdjacency => Some(1.0),
            Self::SelfPlusLaplacian => Some(2.0 - 1.0 / (degree as f64 + 1.0)),
        }
    }
}

/// The bipartite graph as a symmetric matrix, over nodes in an order of our own.
///
/// A product with it reads one row of the embedding table for each edge, so it is as fast as these reads hit the cache. Nodes
/// that share neighbours stand together: on Gowalla one product takes 8.5 ms instead of 13.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) matrix: Csr,
    /// Row of each user, then of each item.
    position: Vec<u32>,
    n_users: usize,
}

impl Graph {
    pub(crate) fn new(train: &Interactions, operator: Operator) -> Self {
        let position = order(train);
        let n = position.len();
        let mut node_at = vec![0u32; n];
        for (node, at) in position.iter().enumerate() {
            node_at[*at as usize] = node as u32;
        }
        let (mut offsets, mut columns, mut values) = (vec![0u64], Vec::new(), Vec::new());
        let mut row: Vec<u32> = Vec::new();
        for (at, node) in node_at.iter().enumerate() {
            row.clear();
            row.extend(neighbours(train, *node).map(|other| position[other as usize]));
            let own = row.len();
            let diagonal = operator.diagonal(own);
            row.extend(diagonal.map(|_| at as u32));
            row.sort_unstable();
            for &other in &row {
                let value = match diagonal {
                    Some(diagonal) if other as usize == at => diagonal,
                    _ => operator.edge(own, degree(train, node_at[other as usize])),
                };
                columns.push(other);
                values.push(value as f32);
            }
            offsets.push(columns.len() as u64);
        }
        let matrix = Csr::new(n, offsets, columns, values).expect("rows were made from sound interactions");
        Self { matrix, position, n_users: train.n_users() }
    }

    pub(crate) fn n_nodes(&self) -> usize {
        self.position.len()
    }

    /// Rows of all users, by user id.
    pub(crate) fn users(&self) -> &[u32] {
        &self.position[..self.n_users]
    }

    /// Rows of all items, by item id.
    pub(crate) fn items(&self) -> &[u32] {
        &self.position[self.n_users..]
    }
}

fn neighbours(train: &Interactions, node: u32) -> impl Iterator<Item = u32> {
    let n_users = train.n_users() as u32;
    let (items, users): (&[ItemId], &[UserId]) = if node < n_users {
        (train.items_of(UserId(node)), &[])
    } else {
        (&[], train.users_of(ItemId(node - n_users)))
    };
    items.iter().map(move |item| item.0 + n_users).chain(users.iter().map(|user| user.0))
}

fn degree(train: &Interactions, node: u32) -> usize {
    let n_users = train.n_users();
    match (node as usize).checked_sub(n_users) {
        None => train.items_of(UserId(node)).len(),
        Some(item) => train.users_of(ItemId(item as u32)).len(),
    }
}

/// Rounds of placing each node at the mean place of its neighbours; more than three gain nothing on Gowalla.
const ROUNDS: usize = 3;

/// Place of each node, users first: breadth first from nodes of low degree (Cuthill and McKee 1969), then a few rounds of
/// the barycentre rule, in which a hub tells little about where its neighbours belong.
fn order(train: &Interactions) -> Vec<u32> {
    let (n_users, n) = (train.n_users(), train.n_users() + train.n_items());
    let degrees: Vec<u32> = (0..n as u32).map(|node| degree(train, node) as u32).collect();
    let mut place = vec![0.0; n];
    let mut reached = vec![false; n];
    let mut starts: Vec<u32> = (0..n as u32).collect();
    starts.sort_by_key(|node| degrees[*node as usize]);
    let (mut queue, mut next) = (Vec::with_capacity(n), Vec::new());
    for start in starts {
        if std::mem::replace(&mut reached[start as usize], true) {
            continue;
        }
        let mut head = queue.len();
        queue.push(start);
        while head < queue.len() {
            next.extend(neighbours(train, queue[head]).filter(|node| !reached[*node as usize]));
            next.sort_by_key(|node| degrees[*node as usize]);
            for node in next.drain(..) {
                reached[node as usize] = true;
                queue.push(node);
            }
            head += 1;
        }
    }
    for (at, node) in queue.iter().enumerate() {
        place[*node as usize] = at as f64;
    }

    let mut position = vec![0; n];
    for round in 0..ROUNDS {
        for side in [0..n_users, n_users..n] {
            let centre = |node: usize| {
                let (mut sum, mut weight) = (0.0, 0.0);
                for other in neighbours(train, node as u32) {
                    let w = 1.0 / f64::from(degrees[other as usize]);
                    sum += w * place[other as usize];
                    weight += w;
                }
                if weight > 0.0 { sum / weight } else { place[node] }
            };
            let mut ranked: Vec<(f64, usize)> = side.clone().map(|node| (centre(node), node)).collect();
            ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            // Ranks, not means: means would draw together round after round.
            let spread = n as f64 / side.len() as f64;
            for (rank, (_, node)) in ranked.into_iter().enumerate() {
                place[node] = rank as f64 * spread;
                if round + 1 == ROUNDS {
                    position[node] = (side.start + rank) as u32;
                }
            }
        }
    }
    position
}
